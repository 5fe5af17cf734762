import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader

from mae_core import UserError
from mae_core.data.bands import bands_of
from mae_core.data.decode import Unreadable
from mae_core.data.images import ImageDataset
from mae_core.data.normalize import Normalize
from mae_core.data.pack import pack
from mae_core.data.raster import Raster
from mae_core.data.sampler import Draw
from mae_core.notices import say
from tests.bands import BANDS, field, npy, tiff
from tests.forms import write_folder, write_tar

AS_IS = {"input_size": 16, "crop_pct": 1.0}
TRAIN = {"input_size": 8, "is_training": True, "color_jitter": None}


def raster(pixels: Any, nodata: float | None = None, names: tuple[str, ...] = ()) -> Raster:
    found = np.asarray(pixels)
    return Raster(found.reshape(1, -1, found.shape[-1]), names, nodata, "TIFF")


def values(pixels: Any, nodata: float | None = None, **keys: Any) -> NDArray[np.float32]:
    """What becomes of pixels (..., C)."""
    bands = bands_of("all", np.asarray(pixels).shape[-1], **keys)
    assert bands is not None
    found, _ = bands.values(raster(pixels, nodata), "x")
    assert found.dtype == np.float32 and found.flags.writeable
    return found[0]


def write(folder: Path, images: dict[str, bytes]) -> str:
    return str(write_folder(folder, images))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_what_the_model_sees_is_what_the_file_holds_to_the_bit(tmp_path: Path, dtype: str) -> None:
    images = [field(seed).astype(dtype) for seed in range(4)]
    data = write(tmp_path / "x", {f"a/{i}.tif": tiff(image) for i, image in enumerate(images)})
    dataset = ImageDataset(data, AS_IS, bands="all", in_chans=BANDS)
    batch = next(iter(DataLoader(dataset, 4)))
    assert batch["inputs"].dtype == torch.float32
    stored = np.stack(images).transpose(0, 3, 1, 2)
    assert np.array_equal(batch["inputs"].numpy(), stored)
    mean, std = np.linspace(500, 5000, BANDS), np.linspace(300, 900, BANDS)
    seen = Normalize(mean.tolist(), std.tolist())(batch)["inputs"].numpy()
    own = (np.float32(stored) - np.float32(mean)[:, None, None]) / np.float32(std)[:, None, None]
    assert np.array_equal(seen, own)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_resized_crop_is_torchs_own_of_the_part(tmp_path: Path, interpolation: str) -> None:
    image = field(1, size=37)
    data = write(tmp_path / "x", {"0.tif": tiff(image)})
    dataset = ImageDataset(data, {**TRAIN, "interpolation": interpolation}, bands=[4, 0])
    for seed in range(8):
        item = dataset[Draw(0, seed)]
        box = dataset.transform.cropper((37, 37), seed).box
        part = image[box.top : box.top + box.height, box.left : box.left + box.width, [4, 0]]
        whole = torch.from_numpy(part.astype(np.float32)).permute(2, 0, 1)[None]
        own = interpolate(whole, (8, 8), mode=interpolation, antialias=True)[0]
        assert torch.equal(item["inputs"], own)
        assert (own != own.round()).any()


def test_every_kind_of_source_gives_the_same_batches(tmp_path: Path) -> None:
    images = [field(seed) for seed in range(6)]
    files = {f"{i}.tif": tiff(image, compression="lzw") for i, image in enumerate(images)}
    arrays = {f"{i}.npy": npy(image) for i, image in enumerate(images)}
    np.savez(tmp_path / "x.npz", images=np.stack(images))
    pack(write(tmp_path / "deep", files), tmp_path / "packed", as_stored=True, workers=0)
    pack(str(tmp_path / "x.npz"), tmp_path / "packed-arrays", as_stored=True, workers=0)
    places = [
        str(tmp_path / "packed"),
        str(tmp_path / "packed-arrays"),
        write(tmp_path / "tiffs", files),
        write(tmp_path / "arrays", arrays),
        str(write_tar(tmp_path / "tiffs.tar", files)),
        str(write_tar(tmp_path / "arrays.tar", arrays)),
        str(tmp_path / "x.npz"),
    ]
    batches = []
    for place in places:
        dataset = ImageDataset(place, TRAIN, bands=[7, 1, 3], in_memory=place.endswith("npz"))
        batches.append(next(iter(DataLoader(dataset, 6))))
    for batch in batches[1:]:
        assert torch.equal(batch["inputs"], batches[0]["inputs"])
        assert torch.equal(batch["flip"], batches[0]["flip"])


def test_images_of_eight_bits_are_left_as_they_were(tmp_path: Path) -> None:
    """Neither decoded in another way nor given in another type; arrays beside them are none."""
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "x.png")
    np.save(tmp_path / "feature.npy", grey)
    dataset = ImageDataset(str(tmp_path), AS_IS)
    assert len(dataset) == 1 and dataset[0]["inputs"].dtype == torch.uint8
    as_stored = ImageDataset(str(tmp_path), AS_IS, bands=[0])[0]["inputs"]
    assert np.array_equal(as_stored[0], grey) and as_stored.dtype == torch.float32


def test_bands_are_picked_by_number_and_by_name() -> None:
    pixels, names = np.arange(4, dtype=np.uint16)[None], ("B2", "B3", "B4", "B4")
    found = bands_of([3, "B3", 0])
    assert found is not None and found.count == 3
    assert found.values(raster(pixels, names=names), "x")[0].tolist() == [[[3, 1, 0]]]
    for band, message in (
        (4, r"x has no band 4: it has 4, from 0 to 3"),
        ("B9", r"x has no band called 'B9': it names B2, B3, B4, B4"),
        ("B4", r"x has several bands called 'B4'"),
    ):
        chosen = bands_of([band])
        assert chosen is not None
        with pytest.raises(Unreadable, match=message):
            chosen.values(raster(pixels, names=names), "x")
    with pytest.raises(Unreadable, match="names none, they have the numbers 0 to 3"):
        found.values(raster(pixels), "x")


@given(
    st.lists(st.floats(-10, 10, width=32) | st.just(float("nan")), min_size=2, max_size=20),
    st.floats(-5, 0, width=32),
    st.floats(1, 5, width=32),
)
def test_ranges_and_missing_numbers_are_what_numpy_makes_of_them(
    numbers: list[float], low: float, high: float
) -> None:
    pixels = np.array(numbers, dtype=np.float32)[:, None]
    gone = np.isnan(pixels)
    filled = values(pixels, fill=7.5)
    assert np.array_equal(filled, np.where(gone, np.float32(7.5), pixels))
    clipped = values(pixels, clip=(low, high), fill=-1)
    assert np.array_equal(clipped, np.where(gone, np.float32(-1), pixels.clip(low, high)))
    logs = values(pixels, clip=(0, high), log1p=True, fill=0)
    assert np.array_equal(logs, np.where(gone, np.float32(0), np.log1p(pixels.clip(0, high))))


def test_each_band_has_its_own_range_and_fill() -> None:
    pixels = np.array([[5, 50], [100, 100], [np.nan, np.inf]], dtype=np.float32)
    found = values(pixels, clip=[(0, 10), (60, 90)], fill=[1, 2])
    assert found.tolist() == [[5, 60], [10, 90], [1, 2]]


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_nodata_is_missing_and_is_not_clipped_first(dtype: str) -> None:
    pixels = np.array([[-9999], [3], [400]], dtype=dtype)
    assert values(pixels, nodata=-9999.0, clip=(0, 100), fill=50).ravel().tolist() == [50, 3, 100]
    with pytest.raises(Unreadable, match=r"x has 1 numbers of 3 that are NaN, infinite or nodata"):
        values(pixels, nodata=-9999.0)
    assert values(pixels).ravel().tolist() == [-9999, 3, 400]
    lowest = np.array([[np.finfo(np.float32).min], [1]], dtype=np.float32)
    assert values(lowest, nodata=-3.4028234663852886e38, fill=0).ravel().tolist() == [0, 1]


def test_numbers_that_float32_does_not_hold_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    say.cache_clear()
    for dtype in ("int32", "uint32", "int64"):
        exact = np.array([[1 << 24]], dtype=dtype)
        assert values(exact).tolist() == [[1 << 24]]
        with pytest.raises(Unreadable, match=rf"x has a pixel of 16777217 \({dtype}\)"):
            values(exact + 1)
    with pytest.raises(Unreadable, match=r"a pixel of 2147483648"):
        values(np.array([[-(1 << 31)]], dtype=np.int32))
    with pytest.raises(Unreadable, match=r"a pixel of 1e\+39 \(float64\)"):
        values(np.array([[1e39]]))
    with warnings.catch_warnings(action="error"):
        assert values(np.array([[0.1], [np.nan]]), fill=0)[0] == np.float32(0.1)
    assert "pixels of type float64 are rounded to float32" in caplog.text


@pytest.mark.parametrize("dtype", ["complex64", "bool", "object", "U1"])
def test_what_is_no_number_is_refused(dtype: str) -> None:
    with pytest.raises(Unreadable, match=r"x has pixels of type .*: expected whole numbers or flo"):
        values(np.zeros((2, 1)).astype(dtype))


def test_a_logarithm_of_nothing_is_refused() -> None:
    with pytest.raises(Unreadable, match=r"x has a pixel of -3, log1p takes those above -1"):
        values(np.array([[-3.0], [2.0]], dtype=np.float32), log1p=True)


def test_other_numbers_of_bands_are_named(tmp_path: Path) -> None:
    data = write(tmp_path / "x", {"0.tif": tiff(field(0)), "1.tif": tiff(field(0)[..., :4])})
    dataset = ImageDataset(data, AS_IS, bands="all", in_chans=12)
    assert dataset[0]["inputs"].shape == (12, 16, 16)
    with pytest.raises(Unreadable, match=r"1\.tif has 4 bands .*expected .*12\) as in_chans says"):
        dataset[1]


def test_arrays_with_bands_first_are_not_taken_for_rows(tmp_path: Path) -> None:
    data = write(tmp_path / "x", {"0.npy": npy(field(0).transpose(2, 0, 1))})
    with pytest.raises(Unreadable, match=r"0\.npy has shape \(12, 16, 16\), .*\(bands, H, W\)"):
        ImageDataset(data, AS_IS, bands=[0, 1])[0]
    with pytest.raises(Unreadable, match=r"has 16 bands \(shape \(12, 16, 16\)\), expected"):
        ImageDataset(data, AS_IS, bands="all", in_chans=12)[0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"bands": "red"}, r"bands='red': expected 'all', or a list"),
        ({"bands": []}, r"bands=\[\]: expected 'all', or a list"),
        ({"bands": [-1]}, r"bands=\[-1\]"),
        ({"bands": [True]}, r"bands=\[True\]"),
        ({"bands": [0.5]}, r"bands=\[0.5\]"),
        ({"bands": [0, 1], "in_chans": 3}, r"in_chans=3, but bands=\[0, 1\] are 2"),
        ({"bands": [0], "bits": 12}, r"bits=12 scales pixels"),
        ({"bands": [0], "clip": (5, 5)}, r"clip=\(5, 5\): expected \(low, high\)"),
        ({"bands": [0, 1], "clip": [(0, 1)]}, r"clip=.*for each of 2 bands"),
        ({"bands": [0], "clip": (0, float("inf"))}, r"clip="),
        ({"bands": [0], "fill": "mean"}, r"fill='mean': expected a number"),
        ({"bands": [0, 1], "fill": [0]}, r"fill=\[0\]: .*each of 2 bands"),
        ({"fill": 0}, r"fill is for pixels as they are stored: set bands"),
        ({"log1p": True}, r"log1p is for pixels as they are stored"),
    ],
)
def test_mistakes_in_the_keys_are_explained(
    images: Path, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ImageDataset(str(images / "val"), AS_IS, **keys)


@pytest.mark.parametrize(
    "more", [{"color_jitter": 0.4}, {"auto_augment": "rand-m9"}, {"re_prob": 0.5}, {}]
)
def test_augmentations_of_colours_are_refused(images: Path, more: dict[str, Any]) -> None:
    transform = {"input_size": 8, "is_training": True, "color_jitter": None, **more}
    if not more:
        del transform["color_jitter"]
    asked = next(iter(more), "color_jitter")
    with pytest.raises(UserError, match=rf"transform: {asked}=.* set color_jitter=None"):
        ImageDataset(str(images / "val"), transform, bands=[0, 1, 2])


def test_files_that_only_bands_can_read_say_so(tmp_path: Path) -> None:
    for name, content in (
        ("many.tif", tiff(field(0))),
        ("deep.tif", tiff(field(0)[..., 0].astype(np.float32))),
        ("array.npy", npy(field(0))),
    ):
        data = write(tmp_path / name, {name: content})
        with pytest.raises(Unreadable, match=rf"{name} cannot be .*bands='all' reads pixels as"):
            ImageDataset(data, AS_IS)[0]
    np.savez(tmp_path / "x.npz", images=field(0)[None])
    with pytest.raises(Unreadable, match=r"uint16, expected .*bands='all' reads pixels as"):
        ImageDataset(str(tmp_path / "x.npz"), AS_IS)[0]
