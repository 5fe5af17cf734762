import numpy as np
import pytest
from scipy import ndimage

from mae_core.data.demo.garments import CLASSES, Split
from mae_core.data.demo.scenes import KINDS, MIN_VISIBLE, Scene, cut_out, generate_scenes


@pytest.fixture(scope="module")
def scenes(splits: dict[str, Split]) -> list[Scene]:
    return list(generate_scenes(splits["t10k"], 60, 60, np.random.default_rng(1)))


def test_two_to_four_garments_all_partly_visible(scenes: list[Scene]) -> None:
    counts = {len(scene.instances) for scene in scenes}
    assert counts == {2, 3, 4}
    for scene in scenes:
        assert scene.image.shape == (60, 60) and scene.image.dtype == np.uint8
        for instance in scene.instances:
            assert MIN_VISIBLE * instance.area <= instance.mask.sum() <= instance.area


def test_garments_hide_each_other_and_masks_are_disjoint(scenes: list[Scene]) -> None:
    hidden = 0
    for scene in scenes:
        assert np.sum([i.mask for i in scene.instances], axis=0).max() == 1
        hidden += sum(i.mask.sum() < i.area for i in scene.instances)
        assert scene.instances[-1].mask.sum() == scene.instances[-1].area
    assert hidden > len(scenes) / 2


def test_no_garment_twice_before_all_had_their_turn(
    scenes: list[Scene], splits: dict[str, Split]
) -> None:
    used = [i.index for scene in scenes for i in scene.instances]
    assert len(set(used)) == len(used)
    few = Split(splits["t10k"].images[:8], splits["t10k"].labels[:8])
    again = list(generate_scenes(few, 6, 60, np.random.default_rng(0)))
    assert {i.index for scene in again for i in scene.instances} <= set(range(8))


def test_every_class_is_of_one_kind() -> None:
    named = [name for names in KINDS.values() for name in names]
    assert sorted(named) == sorted(CLASSES)


def test_labels_belong_to_the_garments(scenes: list[Scene], splits: dict[str, Split]) -> None:
    for scene in scenes:
        for instance in scene.instances:
            name = CLASSES[splits["t10k"].labels[instance.index]]
            assert name in tuple(KINDS.values())[instance.label]
        assert set(np.unique(scene.semantic())) == {0} | {i.label + 1 for i in scene.instances}


def test_masked_pixels_stand_out_from_the_background(scenes: list[Scene]) -> None:
    inside = np.concatenate([s.image[s.semantic() > 0] for s in scenes])
    outside = np.concatenate([s.image[s.semantic() == 0] for s in scenes])
    assert inside.mean() > 3 * outside.mean()
    assert outside.std() > 3, "the background is not flat"


def test_cut_out_is_one_piece_that_holds_nearly_all_bright_pixels(
    splits: dict[str, Split],
) -> None:
    images, labels = splits["t10k"]
    kept = 0
    for image, label in zip(images[:500], labels[:500], strict=True):
        mask = cut_out(image, int(label))
        if mask is None:
            continue
        kept += 1
        assert ndimage.label(mask)[1] == 1
        assert image[mask].sum() > 0.6 * image.sum()
    assert kept > 480


def test_dark_cloth_is_inside_and_a_handle_s_view_is_not() -> None:
    ring = np.zeros((28, 28), np.uint8)
    ring[4:24, 6:22] = 200
    ring[8:20, 10:18] = 0
    ring[0:4, 12:14] = 200
    shirt = cut_out(ring, CLASSES.index("shirt"))
    bag = cut_out(ring, CLASSES.index("bag"))
    assert shirt is not None and shirt[14, 14]
    assert bag is not None and not bag[14, 14] and bag[5, 14]


def test_photo_with_a_grey_backdrop_is_left_out() -> None:
    photo = np.full((28, 28), 60, np.uint8)
    photo[5:20, 8:18] = 220
    assert cut_out(photo, CLASSES.index("coat")) is None
