"""Masks of every kind: served, told in one message, or noted before a training."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from PIL import Image

from downstream.dense.data import mask_splits
from downstream.dense.label_map import IGNORED, label_map
from downstream.dense.masks import LOOKED_AT, check_masks
from mae_core import UserError
from tests.downstream.conftest import split_config

EXAMPLES = int(os.environ.get("EXAMPLES", 40))  # thousands by hand
TWO = ("background", "cell")


def draw(folder: Path, values: list[int], count: int = 4, suffix: str = ".png") -> None:
    """Masks of 8×8 pixels in columns of each value."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = np.array([values[i * len(values) // 8] for i in range(8)], np.uint8)
    for number in range(count):
        Image.fromarray(np.tile(columns, (8, 1))).save(folder / f"{number:02}{suffix}", "PNG")


def images(folder: Path, count: int = 4, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (number * 9, 0, 0)).save(folder / f"{number:02}{suffix}")


def dataset(root: Path, values: list[int]) -> Config:
    for split in ("train", "val"):
        images(root / split)
        draw(root / f"{split}_masks", values)
    return split_config(root)


def look(fields: Config, classes: tuple[str, ...] = TWO) -> list[str]:
    return check_masks(mask_splits(fields), label_map(fields, classes), classes)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0, 255], r"no class but 'background'.*pixel_values=\[0,255\]"),
        ([1, 255], r"no class but 'cell'.*pixel_values=\[1,255\]"),
        ([255], "no class, .*255 has no class unless pixel_values names it"),
        ([0], "no class but 'background'"),
        (
            [0, 128],
            r"holds 128 \(50.00%\) of its pixels, which no class has .4 masks of train.*0,1",
        ),
    ],
)
def test_masks_of_which_a_score_means_nothing_are_refused(
    values: list[int], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        look(dataset(tmp_path, values))


def test_named_values_are_served(tmp_path: Path) -> None:
    fields = dataset(tmp_path, [0, 255])
    fields.pixel_values = [0, 255]
    assert look(fields) == []
    assert label_map(fields, TWO).lookup()[255] == 1


def test_what_is_only_suspicious_is_a_note(tmp_path: Path) -> None:
    fields = dataset(tmp_path, [0, 1])
    draw(tmp_path / "odd", [255], 1)
    shutil.copy(tmp_path / "odd" / "00.png", tmp_path / "train_masks" / "02.png")
    notes = look(fields, ("background", "cell", "rare"))
    assert [note.partition(":")[0] for note in notes] == [
        "no mask of train has a pixel of 'rare'",
        "mask(s) of train without a valid pixel",
        "no mask of val has a pixel of 'rare'",
    ]
    assert "02.png" in notes[1] and all("pixel_values" in note for note in notes)


def test_of_many_masks_some_are_looked_at(tmp_path: Path) -> None:
    fields = dataset(tmp_path, [0, 1])
    splits = mask_splits(fields)
    pairs = splits["train"].pairs
    splits["train"] = type(splits["train"])(pairs * (LOOKED_AT // 2))
    notes = check_masks(splits, label_map(fields, (*TWO, "rare")), (*TWO, "rare"))
    assert "train that was looked at" in notes[0]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("train_masks/01.png", b"", "01.png cannot be read"),
        ("train_masks/01.png", b"\x89PNG\r\n\x1a\n torn", "01.png cannot be read"),
        ("val/01.png", b"no image", "val/01.png cannot be read as an image"),
        ("val/01.png", b"", "val/01.png cannot be read as an image"),
    ],
)
def test_broken_files_are_named_before_a_training(
    name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    fields = dataset(tmp_path, [0, 1])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told):
        look(fields)


def test_a_mask_that_is_cut_off_or_of_another_size_is_named(tmp_path: Path) -> None:
    fields = dataset(tmp_path, [0, 1])
    mask = tmp_path / "val_masks" / "03.png"
    mask.write_bytes(mask.read_bytes()[:-32])
    with pytest.raises(UserError, match=r"val_masks/03\.png cannot be read"):
        look(fields)
    Image.new("L", (9, 8)).save(mask)
    with pytest.raises(UserError, match=r"03\.png is 9×8 pixels, its image 8×8"):
        look(fields)


def test_a_colour_of_no_class_is_told_with_its_share_and_file(tmp_path: Path) -> None:
    fields = coloured(tmp_path)
    assert look(fields) == []
    odd = np.asarray(Image.open(tmp_path / "val_masks" / "02.png")).copy()
    odd[0, :2] = (0, 255, 0)
    Image.fromarray(odd).save(tmp_path / "val_masks" / "02.png")
    told = r"val_masks/02\.png holds '#00ff00' \(3\.12%\).*expected '#000000','#ff0000'; pixel_val"
    with pytest.raises(UserError, match=told):
        look(fields)
    fields.ignored = ["#00ff00"]
    assert look(fields) == []


def test_smoothed_borders_are_said_to_be_so(tmp_path: Path) -> None:
    fields = coloured(tmp_path)
    for split in ("train", "val"):
        for path in sorted((tmp_path / f"{split}_masks").iterdir()):
            whole = Image.open(path).resize((128, 128), Image.Resampling.BICUBIC)
            whole.save(path)
            Image.new("RGB", (128, 128)).save(tmp_path / split / path.name)
    with pytest.raises(UserError, match=r"and \d+ more values .* borders smoothed by"):
        look(fields)


def coloured(root: Path) -> Config:
    """Black and red masks, one of them with a palette, one opaque with alpha."""
    fields = dataset(root, [0, 1])
    for path in root.glob("*_masks/*.png"):
        ids = np.asarray(Image.open(path))
        red = Image.fromarray(np.stack([ids * 255, ids * 0, ids * 0], -1))
        red = red.quantize(2) if path.stem == "01" else red
        (red.convert("RGBA") if path.stem == "03" else red).save(path)
    fields.pixel_values = ["#000000", [255, 0, 0]]
    return fields


KINDS = st.sampled_from(
    ["L", "1", "P", "RGB", "RGBA", "I;16", "I", "LA", "CMYK", "torn", "empty", "gone", "text"]
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_mask_is_served_or_told(tmp_path: Path, data: st.DataObject) -> None:
    root = tmp_path / "any"
    shutil.rmtree(root, ignore_errors=True)
    fields = dataset(root, data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=4)))
    path = root / "val_masks" / f"0{data.draw(st.integers(0, 3))}.png"
    kind = data.draw(KINDS)
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    if kind == "gone":
        path.unlink()
    elif kind in ("empty", "text"):
        path.write_bytes(data.draw(st.binary(max_size=40)) if kind == "text" else b"")
    elif kind == "torn":
        content = path.read_bytes()
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    else:
        Image.new(kind, size).save(path, "TIFF" if kind in ("CMYK", "I") else "PNG")
    fields.pixel_values = data.draw(st.none() | st.lists(st.integers(-1, 65536), max_size=3))
    fields.ignored = data.draw(st.lists(st.integers(0, 255), max_size=2))
    try:
        look(fields)
    except UserError as error:
        assert str(error)
    else:
        labels = label_map(fields, TWO).lookup()
        for _, mask in mask_splits(fields)["val"].pairs:
            found = labels[np.asarray(Image.open(mask))]
            assert found.shape == (8, 8) and set(np.unique(found)) <= {0, 1, IGNORED}
