import numpy as np
import pytest

from downstream.examples.draw import rng_of
from downstream.examples.rgbd import CANVAS, FAR, NEAR, WALL, scenes, with_depth
from mae_core.data.demo import garments
from mae_core.data.demo.garments import Split
from mae_core.data.demo.scenes import KINDS, Instance, Scene, generate_scenes


@pytest.fixture(scope="module")
def splits() -> dict[str, Split]:
    return garments.load(garments.locate())


def test_depth_follows_from_what_lies_over_what() -> None:
    masks = np.zeros((3, 60, 60), dtype=bool)
    for place, mask in enumerate(masks):
        mask[20 * place : 20 * place + 20, 10:50] = True
    parts = [Instance(index=i, label=i, area=800, mask=mask) for i, mask in enumerate(masks)]
    image = with_depth(Scene(np.full((60, 60), 100, np.uint8), parts), np.random.default_rng(0))
    assert image.shape == (60, 60, 4) and image.dtype == np.float32
    depths = [np.median(image[..., 3][mask]) for mask in masks]
    assert FAR + 0.02 > depths[0] > depths[1] > depths[2] > NEAR - 0.02
    wall = image[..., 3][~masks.any(axis=0)]
    assert abs(wall.mean() - WALL) < 0.01
    assert np.isclose(wall.std(), 0.0012 + 0.0019 * (WALL - 0.4) ** 2, rtol=0.1)
    for mask in [*masks, ~masks.any(axis=0)]:
        assert len(np.unique(image[mask][:, :3], axis=0)) == 1  # a colour for each
    assert image[..., :3].min() >= 50 and image[..., :3].max() <= 100


def test_the_class_is_that_of_the_nearest(splits: dict[str, Split]) -> None:
    """By the depth that is measured, on the scenes that the same seed draws."""
    drawn = generate_scenes(splits["train"], 6, CANVAS, rng_of(0))
    for scene, (name, image) in zip(drawn, scenes(6, seed=0), strict=True):
        depths = [np.median(image[..., 3][one.mask]) for one in scene.instances]
        nearest = scene.instances[int(np.argmin(depths))]
        assert name.split("/")[0] == list(KINDS)[nearest.label]
