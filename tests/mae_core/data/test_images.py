import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from mae_core import UserError
from mae_core.data.decode import Unreadable
from mae_core.data.images import ImageDataset, collate_views
from mae_core.data.sampler import Draw

AS_IS = {"input_size": 12, "crop_pct": 1.0}
TRAIN = {"input_size": 12, "is_training": True, "color_jitter": None}
JITTER = {**TRAIN, "color_jitter": 0.4, "auto_augment": "rand-m9-mstd0.5", "re_prob": 0.5}


def folder_of(folder: Path, image: Image.Image, name: str = "x.png") -> str:
    (folder / "class").mkdir(parents=True)
    image.save(folder / "class" / name)
    return str(folder)


def equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    same = torch.equal(first.pop("inputs"), second.pop("inputs"))
    return same and str(first) == str(second)


@pytest.fixture
def damaged(tmp_path: Path) -> str:
    """Images 2 and 3 of six are none."""
    for number in range(6):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (12, 12), (number, 0, 0)).save(path)
        if number in (2, 3):
            path.write_bytes(b"" if number == 2 else b"text")
    return str(tmp_path)


def test_an_item_has_stored_pixels_and_the_label_of_its_folder(images: Path) -> None:
    dataset = ImageDataset(str(images / "val"), AS_IS)
    assert dataset.classes == ["class-0", "class-1"]
    assert [dataset[i]["label"] for i in range(12)] == [0] * 6 + [1] * 6
    stored = np.asarray(Image.open(images / "val" / "class-1" / "0.png"))
    item = dataset[6]
    assert item["inputs"].dtype == torch.uint8
    assert np.array_equal(item.pop("inputs"), np.stack([stored] * 3))
    assert item == {"label": 1, "seed": 6, "flip": False, "unreadable": -1}


def test_an_image_kept_in_memory_is_read_once_and_cropped_anew(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    folder = folder_of(tmp_path, Image.fromarray(pixels))
    kept = ImageDataset(folder, TRAIN, in_memory=True)
    fresh = [ImageDataset(folder, TRAIN)[Draw(0, seed)] for seed in range(9)]
    again = [kept[Draw(0, seed)] for seed in range(9)]
    (tmp_path / "class" / "x.png").unlink()
    again += [kept[Draw(0, seed)] for seed in range(9)]
    assert len({item["inputs"].numpy().tobytes() for item in fresh}) == 9
    assert all(equal(a, b) for a, b in zip(again, [dict(f) for f in fresh * 2], strict=True))


@pytest.mark.parametrize("transform", [TRAIN, JITTER])
def test_an_item_follows_from_its_draw_alone(images: Path, transform: dict[str, Any]) -> None:
    dataset = ImageDataset(str(images / "train"), transform)
    draws = [Draw(index, 2**62 + index) for index in range(8)]
    first = [dataset[draw] for draw in draws]
    for draw, item in reversed(list(zip(draws, first, strict=True))):
        assert item["seed"] == draw.seed
        assert equal(dataset[draw], dict(item))
    other = [dataset[Draw(index, 7)] for index in range(8)]
    assert any(not torch.equal(a["inputs"], b["inputs"]) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("transform", [TRAIN, JITTER])
def test_global_random_states_are_left_alone(images: Path, transform: dict[str, Any]) -> None:
    dataset = ImageDataset(str(images / "train"), transform, repeats=2)

    def numbers() -> tuple[float, ...]:
        return random.random(), np.random.rand(), float(torch.rand(()))

    for touch in (False, True):
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        if touch:
            _ = [dataset[i] for i in range(8)]
        drawn = numbers()
        assert not touch or drawn == before  # noqa: F821
        before = drawn  # noqa: F841


def test_workers_make_the_same_batches(images: Path) -> None:
    dataset = ImageDataset(str(images / "train"), JITTER, repeats=2)
    draws = [Draw(index % 16, index) for index in range(24)]
    alone, shared = (
        list(DataLoader(dataset, 4, sampler=draws, num_workers=n, collate_fn=collate_views))
        for n in (0, 2)
    )
    for a, b in zip(alone, shared, strict=True):
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_repeats_are_different_views_of_one_image(images: Path) -> None:
    plain = ImageDataset(str(images / "train"), TRAIN)
    thrice = ImageDataset(str(images / "train"), TRAIN, repeats=3)
    draws = [Draw(3, 5), Draw(12, 6)]
    batch = collate_views([thrice[draw] for draw in draws])
    assert batch["inputs"].shape == (6, 3, 12, 12)
    assert batch["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert len(set(batch["seed"].tolist())) == 6
    for position in range(6):
        draw = Draw(draws[position // 3].index, int(batch["seed"][position]))
        assert torch.equal(batch["inputs"][position], plain[draw]["inputs"])
        assert bool(batch["flip"][position]) == plain[draw]["flip"]
    single = collate_views([plain[draw] for draw in draws])
    assert single["inputs"].shape == (2, 3, 12, 12)
    assert torch.equal(single["inputs"], batch["inputs"][::3])


def test_flips_come_as_often_as_asked(images: Path) -> None:
    def share(**more: float) -> float:
        dataset = ImageDataset(str(images / "train"), {**TRAIN, **more}, in_memory=True)
        return float(np.mean([dataset[Draw(0, seed)]["flip"] for seed in range(400)]))

    assert share(hflip=0.0) == 0 and share(hflip=1.0) == 1
    assert 0.4 < share() < 0.6


def test_unreadable_images_are_replaced_by_the_next_and_counted(damaged: str) -> None:
    dataset = ImageDataset(damaged, AS_IS, skip_unreadable=True)
    items = [dataset[index] for index in range(6)]
    assert [int(item["inputs"][0, 0, 0]) for item in items] == [0, 1, 4, 4, 4, 5]
    assert [item["unreadable"] for item in items] == [-1, -1, 2, 3, -1, -1]
    views = ImageDataset(damaged, TRAIN, skip_unreadable=True, repeats=2)[2]
    assert [view["unreadable"] for view in views] == [2, -1]


def test_an_unreadable_image_is_named(damaged: str) -> None:
    dataset = ImageDataset(damaged, AS_IS)
    with pytest.raises(Unreadable, match=rf"{damaged}/3.png cannot be read as an image.*delete it"):
        dataset[3]
    (Path(damaged) / "4.png").unlink()
    with pytest.raises(UserError, match=r"4.png cannot be read .*No such file"):
        dataset[4]


def test_an_error_in_a_worker_is_the_same_one_message(damaged: str) -> None:
    dataset = ImageDataset(damaged, AS_IS)
    for workers in (0, 1):
        with pytest.raises(Unreadable) as error:
            list(DataLoader(dataset, 3, num_workers=workers))
        assert str(error.value).startswith(f"{damaged}/2.png cannot be read")
        assert "\n" not in str(error.value)


def test_a_data_set_ends(images: Path) -> None:
    assert len(list(ImageDataset(str(images / "val"), AS_IS))) == 12


def test_a_set_of_nothing_but_damaged_images_ends(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"100 images in a row.*x\.jpg"):
        ImageDataset(str(tmp_path), AS_IS, skip_unreadable=True)[0]


def test_selections_reach_the_source(images: Path) -> None:
    def names(**chosen: Any) -> list[str]:
        source = ImageDataset(str(images / "train"), AS_IS, **chosen).source
        return [source.name(i) for i in range(len(source))]

    assert len(names(per_class=3)) == 6
    assert names(per_class=3, seed=0) != names(per_class=3, seed=1)
    assert sorted(names(part=(0.0, 0.5)) + names(part=(0.5, 1.0))) == sorted(names())


def test_numbers_below_one_are_the_users_mistake(images: Path) -> None:
    for wrong in ({"in_chans": 0}, {"repeats": 0}):
        with pytest.raises(UserError, match=f"{next(iter(wrong))}=0: expected at least 1"):
            ImageDataset(str(images / "train"), AS_IS, **wrong)


def test_dark_images_of_a_deep_set_stay_dark(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, level in enumerate((4095, 200)):
        pixels = np.full((12, 12), level, dtype=np.uint16)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    found = ImageDataset(str(tmp_path), AS_IS)
    assert [int(found[i]["inputs"].max()) for i in range(2)] == [255, 12]
    assert "use 12 of them" in caplog.text
    as_told = ImageDataset(str(tmp_path), AS_IS, bits=16)
    assert [int(as_told[i]["inputs"].max()) for i in range(2)] == [16, 1]
    with pytest.raises(UserError, match=r"bits=11: expected one of 8, 10, 12, 14, 16"):
        ImageDataset(str(tmp_path), AS_IS, bits=11)
