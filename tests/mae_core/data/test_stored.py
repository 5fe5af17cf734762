import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mae_core.data import raster
from mae_core.data.decode import Unreadable
from mae_core.data.stored import read_raster
from tests.bands import field, npy


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2", "float32", "float64", "int32"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_npy_is_what_numpy_saved(dtype: str, order: str) -> None:
    image = np.asarray(field(0), dtype=dtype, order=order)  # type: ignore[call-overload]
    found = read_raster(npy(image), "x")
    assert np.array_equal(found.pixels, image) and found.pixels.dtype == image.dtype
    assert read_raster(npy(image[..., 0]), "x").pixels.shape == (16, 16, 1)


def test_files_that_pillow_reads_keep_their_bits() -> None:
    deep = field(0)[..., 0]
    assert np.array_equal(read_raster(encoded(Image.fromarray(deep)), "x").pixels[..., 0], deep)
    colours = field(0)[..., :4].astype(np.uint8)
    found = read_raster(encoded(Image.fromarray(colours, "RGBA")), "x")
    assert np.array_equal(found.pixels, colours) and found.kind == "PNG uint8"
    palette = Image.new("RGB", (4, 4), (255, 0, 0)).convert("P")
    assert read_raster(encoded(palette), "x").pixels.shape == (4, 4, 3)


def test_pickles_are_not_loaded() -> None:
    data = npy(np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(Unreadable, match=r"^x cannot be read .*object.*pickles are not loaded"):
        read_raster(data, "x")


def test_a_header_that_promises_more_than_there_is_takes_no_memory() -> None:
    data = npy(np.zeros((16, 16, 12), np.uint16))
    huge = data.replace(b"(16, 16, 12), }     ", b"(99999, 99999, 9), }")
    with pytest.raises(Unreadable, match=r"its header says \(99999, 99999, 9\) uint16, .*6,144"):
        read_raster(huge, "x")
    with pytest.raises(Unreadable, match=r"6,144 bytes, it has 6,140"):
        read_raster(data[:-4], "x")


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4, 5), (0, 4, 3), ()])
def test_arrays_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    for data in (np.zeros(shape), npy(np.zeros(shape))):
        with pytest.raises(
            Unreadable, match=r"x cannot be read .*expected \(H, W\) or \(H, W, C\)"
        ):
            read_raster(data, "x")


def test_too_many_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster, "MAX_VALUES", 3000)
    with pytest.raises(Unreadable, match=r"x has 16×16 pixels and 12 bands: .*cut it into tiles"):
        read_raster(field(0), "x")


@given(st.binary(max_size=300), st.integers(0, 127))
def test_any_damage_is_an_image_or_a_message(noise: bytes, place: int) -> None:
    whole = npy(field(0, size=4))
    damaged = bytearray(whole)
    damaged[place] ^= 1 << (len(noise) % 8)
    for data in (b"\x93NUMPY" + noise, whole[: len(noise)], bytes(damaged)):
        try:
            read_raster(data, "x")
        except Unreadable as error:
            assert str(error).startswith("x ")
