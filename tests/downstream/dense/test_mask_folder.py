"""What `data check` says of masks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from downstream.dense.mask_folder import MaskFolder, check_mask_folder
from mae_core import UserError
from tests.downstream.dense.test_masks import coloured, dataset, draw


def check(root: Path, **settings: object) -> MaskFolder:
    return check_mask_folder(root / "train", root / "train_masks", **settings)


def test_what_the_values_mean_is_said(tmp_path: Path) -> None:
    dataset(tmp_path, [0, 255])
    found = check(tmp_path)
    assert not found.faults and "pixel_values=[0,255]" in found.notes[0]
    draw(tmp_path / "train_masks", [0, 64, 128, 255])
    found = check(tmp_path)
    assert "pixel_values=[0,64,128]" in found.notes[0] and found.labels.values == (0, 64, 128)
    assert found.pixels == {0: 0.25, 64: 0.25, 128: 0.25, 255: 0.25}
    draw(tmp_path / "train_masks", [3])
    assert "hold 3 alone" in check(tmp_path).faults[0]
    (tmp_path / "train_masks" / "00.png").write_bytes(b"")
    assert "cannot be read" in check(tmp_path).faults[0]


def test_values_that_are_told_are_held_against_the_masks(tmp_path: Path) -> None:
    dataset(tmp_path, [0, 64, 128, 255])
    found = check(tmp_path, values=[0, 64], ignored=[128])
    assert not found.faults and not found.notes and found.labels.labels == {0: 0, 64: 1}
    faults = check(tmp_path, values=[0, 64]).faults
    assert len(faults) == 4 and "00.png holds 128 (25.00%) of its pixels" in faults[0]
    assert check(tmp_path, values=[0, 64, 7], ignored=[128]).notes == ["no mask holds 7"]
    with pytest.raises(UserError, match="pixel_values='0': expected different numbers"):
        check(tmp_path, values="0")


def test_colours_are_found_and_the_setting_is_said(tmp_path: Path) -> None:
    coloured(tmp_path)
    found = check(tmp_path)
    assert found.labels.coloured and found.pixels == {0: 0.5, 0xFF0000: 0.5}
    assert "train with pixel_values=['#000000','#ff0000']" in found.notes[0]
    assert not check(tmp_path, values=["#000000", "#ff0000"]).faults
    faults = check(tmp_path, values=["#000000", "#00ff00"]).faults
    assert "00.png holds '#ff0000' (50.00%) of its pixels, which no class has" in faults[0]
    assert len(faults) == 4


def test_smoothed_colours_are_a_fault_without_a_table(tmp_path: Path) -> None:
    coloured(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), np.uint8)
    for number, pixels in enumerate(noise):
        Image.new("RGB", (40, 40)).save(tmp_path / "train" / f"{number:02}.png")
        Image.fromarray(pixels).save(tmp_path / "train_masks" / f"{number:02}.png")
    assert "values, which are too many for classes; borders" in check(tmp_path).faults[0]
    for number, pixels in enumerate(noise[:, :10]):
        Image.new("RGB", (40, 10)).save(tmp_path / "train" / f"{number:02}.png")
        Image.fromarray(pixels).save(tmp_path / "train_masks" / f"{number:02}.png")
    assert "of which at most 255 can be classes; borders" in check(tmp_path).faults[0]


def test_that_indices_of_a_palette_count_is_said(tmp_path: Path) -> None:
    dataset(tmp_path, [0, 1])
    for path in (tmp_path / "train_masks").iterdir():
        Image.open(path).convert("P").save(path)
    assert "4 mask(s) have a palette: its indices are the values" in check(tmp_path).notes[0]
