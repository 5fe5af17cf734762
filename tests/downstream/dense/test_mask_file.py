"""Files of every kind that masks come as: their values, or one message."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from downstream.dense.mask_file import counted, read_mask
from mae_core import UserError

IDS = np.tile(np.array([0, 1, 2, 255], np.uint8), (8, 2))
SHOWN = IDS.astype(np.uint32) * 0x010101  # as grey
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 0], [7, 8, 9]], np.uint8)
PLACES = np.tile(np.arange(4, dtype=np.uint8), (8, 2))
RGB = COLOURS[PLACES]
HEX = np.array([0x000000, 0xFF0000, 0x008000, 0x070809])[PLACES]


def palette(ids: np.ndarray) -> Image.Image:
    image = Image.fromarray(ids)
    image.putpalette(COLOURS.ravel().tolist())
    return image


@pytest.mark.parametrize("end", ["png", "tif", "bmp", "gif"])
def test_indices_or_colours_of_a_palette_count(end: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{end}"
    palette(PLACES).save(path)
    assert np.array_equal(read_mask(path), PLACES)
    assert np.array_equal(read_mask(path, coloured=True), HEX)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX"])
@pytest.mark.parametrize("end", ["png", "tif"])
def test_colours_of_a_mask_are_those_that_viewers_show(mode: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{end}"
    image = Image.fromarray(RGB)
    (image if mode == "RGBX" and end == "png" else image.convert(mode)).save(path)
    assert np.array_equal(read_mask(path, coloured=True), HEX)
    with pytest.raises(UserError, match=r"in colours .* name that of each class by pixel_values"):
        read_mask(path)


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize("end", ["png", "tif"])
def test_grey_is_a_number_or_a_colour(mode: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{end}"
    Image.fromarray(IDS).convert(mode).save(path)
    assert np.array_equal(read_mask(path), IDS) and read_mask(path).dtype == np.uint8
    assert np.array_equal(read_mask(path, coloured=True), SHOWN)


def test_one_bit_is_0_and_1_or_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(IDS > 1).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), IDS > 1)
    assert np.array_equal(read_mask(tmp_path / "a.png", coloured=True), (IDS > 1) * 0xFFFFFF)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.int32, np.uint32])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"imagej": True},
        {"byteorder": ">"},
    ],
)
def test_what_tifffile_writes_is_read(kind: Any, options: dict[str, Any], tmp_path: Path) -> None:
    if (kind, "byteorder" in options) == (np.uint32, True):
        pytest.skip("Pillow reads none")
    if "imagej" in options and kind not in (np.uint8, np.uint16):
        pytest.skip("ImageJ has none")
    ids = IDS.astype(kind) * (100 if kind != np.uint8 else 1)
    tifffile.imwrite(tmp_path / "a.tif", ids, **options)
    assert np.array_equal(read_mask(tmp_path / "a.tif"), ids)


def test_16_bits_of_a_png_are_read(tmp_path: Path) -> None:
    Image.fromarray(IDS.astype(np.uint16) * 257).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), IDS.astype(np.uint16) * 257)


def test_what_is_no_mask_is_told(tmp_path: Path) -> None:
    half = np.where(IDS == 0, 0, 255).astype(np.uint8)
    deep = IDS.astype(np.uint16) * 256
    numbers: dict[str, Any] = {
        "is transparent in 25.00%": np.dstack([IDS, half]),
        "holds fractions": IDS.astype(np.float32),
        "holds numbers from -1 to 254": IDS.astype(np.int32) - 1,
        "holds numbers from 0 to 65536": np.where(IDS == 2, 65536, 0).astype(np.int32),
    }
    for told, pixels in numbers.items():
        Image.fromarray(pixels).save(tmp_path / "a.tif")
        with pytest.raises(UserError, match=told):
            read_mask(tmp_path / "a.tif")
    Image.fromarray(np.dstack([RGB, half])).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", r"a\.png is transparent in 25\.00% of its pixels")
    Image.fromarray(deep).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "numbers of more than 8 bits: pixel_values names colours")
    tifffile.imwrite(tmp_path / "a.tif", IDS.astype(np.int64))
    refused(tmp_path / "a.tif", "whole numbers of at most 32 bits")
    tifffile.imwrite(tmp_path / "a.tif", np.stack([IDS, IDS]), photometric="minisblack")
    refused(tmp_path / "a.tif", "has 2 pages: expected a mask of one")
    Image.new("CMYK", (8, 8)).save(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "holds CMYK pixels")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "tiff"])
def test_compression_that_changes_pixels_is_told_whatever_the_name(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    options = {"compression": "jpeg"} if kind == "tiff" else {}
    Image.fromarray(RGB).save(path, kind, **options)
    refused(path, "which changes pixels, above all at borders: export masks as PNG or TIFF")


def refused(path: Path, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_mask(path, coloured=True)


@given(
    arrays(np.uint32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 5))
)
def test_pixels_are_counted_as_numpy_does(pixels: np.ndarray) -> None:
    values, counts = np.unique(pixels, return_counts=True)
    found = counted(pixels)
    assert list(found) == values.tolist() and list(found.values()) == counts.tolist()
