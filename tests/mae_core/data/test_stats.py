from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mae_core import UserError
from mae_core.data.bands import any_bands
from mae_core.data.stats import COARSE, SHARES, BandStats, Stats, draw_stats, of_numbers, stats
from tests.bands import field, npy, tiff, write_fields
from tests.forms import write_folder

numbers = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30)
wholes = st.lists(st.integers(-(1 << 15), (1 << 16) - 1), min_size=1, max_size=40)


def added(parts: list[NDArray[Any]]) -> BandStats:
    total = BandStats()
    for part in parts:
        total.add(of_numbers(part))
    return total


def own_percentiles(values: NDArray[Any]) -> NDArray[Any]:
    return np.percentile(values, SHARES, method="inverted_cdf")


def folder(root: Path, images: list[NDArray[Any]]) -> str:
    return str(write_folder(root, {f"{i}.npy": npy(image) for i, image in enumerate(images)}))


@given(st.lists(numbers, min_size=1, max_size=5))
def test_parts_add_up_to_the_whole(parts: list[list[float]]) -> None:
    arrays = [np.array(part, dtype=np.float32) for part in parts]
    found, whole = added(arrays), np.concatenate(arrays).astype(np.float64)
    assert found.count == len(whole)
    assert found.mean == pytest.approx(whole.mean(), rel=1e-12, abs=1e-6)
    assert found.std == pytest.approx(whole.std(), rel=1e-9, abs=1e-6)
    assert (found.least, found.most) == (whole.min(), whole.max())
    own = own_percentiles(whole)
    widths = np.maximum(np.abs(own) * 2.0 ** (COARSE - 22), 1e-30)
    assert (np.abs(np.array(found.percentiles()) - own) <= widths).all()


@given(st.lists(wholes, min_size=1, max_size=5))
def test_percentiles_of_whole_numbers_are_exact(parts: list[list[int]]) -> None:
    arrays = [np.array(part, dtype=np.int32) for part in parts]
    assert added(arrays).percentiles() == own_percentiles(np.concatenate(arrays)).tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_set_is_described_band_by_band(tmp_path: Path, workers: int) -> None:
    data = write_fields(tmp_path / "x", train=7) / "train"
    found = stats(str(data), any_bands([5, 0]), workers=workers)
    images = [field(1000 * label + i, label=label) for label in range(3) for i in range(7)]
    whole = np.stack(images)[..., [5, 0]].reshape(-1, 2).astype(np.float64)
    assert (found.images, found.names, found.exact) == (21, ["5", "0"], True)
    for place, band in enumerate(found.bands):
        assert band.mean == pytest.approx(whole[:, place].mean(), rel=1e-12)
        assert band.std == pytest.approx(whole[:, place].std(), rel=1e-12)
        assert band.percentiles() == own_percentiles(whole[:, place]).tolist()


def test_numbers_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = folder(tmp_path, [rng.normal(size=(9, 9, 2)).astype(np.float32) for _ in range(40)])
    alone, shared = (stats(data, any_bands("all"), workers=workers) for workers in (0, 2))
    for one, other in zip(alone.bands, shared.bands, strict=True):
        assert (one.mean, one.m2, one.percentiles()) == (other.mean, other.m2, other.percentiles())


def test_without_bands_pixels_are_those_of_eight_bits(tmp_path: Path) -> None:
    colours = field(3, bands=3).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "x.png")
    found = stats(str(tmp_path), workers=0)
    assert found.names == ["red", "green", "blue"] and found.exact
    assert [b.mean for b in found.bands] == pytest.approx(colours.mean(axis=(0, 1)).tolist())


def test_missing_numbers_are_counted_and_left_out(tmp_path: Path) -> None:
    image = np.array([[1, np.nan, -9999, 4, np.inf]], dtype=np.float32)
    tag = (42113, 2, 6, b"-9999\0", True)
    data = str(write_folder(tmp_path, {"x.tif": tiff(image, extratags=[tag])}))
    (band,) = stats(data, any_bands("all"), workers=0).bands
    assert (band.count, band.nan, band.nodata, band.mean) == (2, 2, 1, 2.5)
    nothing = folder(tmp_path / "y", [np.full((2, 2), np.nan, dtype=np.float32)])
    (band,) = stats(nothing, any_bands("all"), workers=0).bands
    assert band.count == 0 and np.isnan(band.percentiles()).all()


def test_ranges_and_logarithms_are_those_of_a_training(tmp_path: Path) -> None:
    data = folder(tmp_path, [field(0)])
    (band,) = stats(data, any_bands([0], log1p=True, clip=(0, 4000)), workers=0).bands
    own = np.log1p(field(0)[..., 0].clip(0, 4000).astype(np.float32)).astype(np.float64)
    assert band.mean == pytest.approx(own.mean(), rel=1e-7) and band.most <= np.log(4001) + 1e-6


def test_images_that_do_not_fit_are_left_out_and_named(tmp_path: Path) -> None:
    data = folder(tmp_path, [field(0), field(1)[..., :4]])
    (tmp_path / "2.npy").write_bytes(b"no array")
    found = stats(data, any_bands("all"), workers=0)
    assert found.images == 1
    assert "1.npy has 4 bands, the first image 12" in found.unreadable[0]
    assert "2.npy cannot be read" in found.unreadable[1]
    with pytest.raises(UserError, match=r"no readable image; the first: .*no band called 'B1'"):
        stats(data, any_bands(["B1"]), workers=0)


def test_many_bins_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mae_core.data.stats.ROOM", 50)
    parts = [np.arange(i, i + 30) for i in range(20)]
    found = added(parts)
    assert sum(len(keys) for keys, _ in found.bins) < 90
    assert found.percentiles() == own_percentiles(np.concatenate(parts)).tolist()


def test_a_picture_has_a_histogram_of_each_band(tmp_path: Path) -> None:
    flat = BandStats()
    flat.add(of_numbers(np.full(9, 7)))
    bands = [added([np.arange(100)]), flat, BandStats(), added([np.arange(9)]), flat]
    draw_stats(tmp_path / "x.png", Stats(bands, list("abcde"), 1, True, []))
    picture = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(int)
    blue = (picture[..., 2] - picture[..., 0]) > 60
    thirds = [blue[:, part].any() for part in np.array_split(np.arange(picture.shape[1]), 4)]
    assert thirds == [True, True, False, True]
