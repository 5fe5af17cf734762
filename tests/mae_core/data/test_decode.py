import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mae_core.data import decode
from mae_core.data.decode import Unreadable, open_file, open_image, open_stored, upright
from mae_core.notices import say

COLOUR = (200, 100, 50)


def scene(height: int = 60, width: int = 80) -> Image.Image:
    """Smooth, without symmetry, in colour."""
    y, x = np.mgrid[:height, :width]
    planes = [255 * x / width, 255 * y / height, 127 + 127 * np.sin(x / 9)]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def pixels(data: Any, channels: int = 3, reduction: int = 1) -> np.ndarray:
    opened = open_image(data, channels, "x")
    found = opened.pixels(reduction)
    assert found.dtype == np.uint8 and found.flags.c_contiguous and found.flags.writeable
    if reduction == 1:
        assert found.shape == (*opened.size, channels)
    return found


def difference(first: np.ndarray, second: Any) -> int:
    return int(np.abs(first.astype(int) - np.asarray(second).astype(int)).max())


@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_is_what_pillow_decodes(subsampling: int) -> None:
    data = encoded(scene(61, 83), "JPEG", quality=90, subsampling=subsampling)
    assert difference(pixels(data), Image.open(io.BytesIO(data))) <= 2
    grey = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert difference(pixels(data, 1)[..., 0], grey) <= 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_every_kind_of_colour_reads_as_rgb(mode: str) -> None:
    image = Image.new("RGB", (12, 10), COLOUR).convert(mode)
    found = pixels(encoded(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert difference(found, np.full((10, 12, 3), COLOUR)) < 52  # a palette has steps of 51


@pytest.mark.parametrize("mode", ["L", "LA", "1", "RGB", "P", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_white_is_white_in_every_mode(mode: str, channels: int) -> None:
    white = Image.new("I;16", (7, 5), 0xFFFF) if mode == "I;16" else Image.new("L", (7, 5), 255)
    found = pixels(encoded(white if mode == "I;16" else white.convert(mode)), channels)
    assert np.array_equal(found, np.full((5, 7, channels), 255))


def test_a_transparent_palette_and_a_grey_jpeg_read_as_rgb() -> None:
    palette = Image.new("RGB", (8, 8), COLOUR).convert("P")
    assert difference(pixels(encoded(palette, transparency=0)), np.full((8, 8, 3), COLOUR)) < 52
    grey = pixels(encoded(Image.new("L", (8, 8), 77), "JPEG", quality=95))
    assert np.array_equal(grey, np.full((8, 8, 3), 77))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 128, 129, 257, 5000, 32896, 65407, 65535]], dtype=np.uint16)
    found = pixels(encoded(Image.fromarray(values), kind), 1)[0, :, 0]
    assert found.tolist() == [0, 0, 1, 1, 19, 128, 255, 255]


@pytest.mark.parametrize("value", [-1.0, 0.5, 1e9])
def test_pixels_without_a_known_range_are_refused(value: float) -> None:
    for dtype in (np.float32, np.int32):
        if dtype is np.int32 and 0 <= value < 65536:
            continue
        image = Image.fromarray(np.full((4, 4), value, dtype=dtype))
        with pytest.raises(Unreadable, match="expected 8 or 16 bits a channel"):
            pixels(encoded(image, "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_turns_an_image_upright(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[decode.ORIENTATION] = orientation
    data = encoded(scene(40, 64), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert difference(pixels(data), upright) <= 2
    if kind == "JPEG":
        assert pixels(data, reduction=2).shape[:2] == (upright.height // 2, upright.width // 2)


def test_a_damaged_exif_block_is_no_damaged_image() -> None:
    data = encoded(scene(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert pixels(data).shape == (60, 80, 3)


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
def test_a_jpeg_is_decoded_smaller(reduction: int) -> None:
    data = encoded(scene(301, 403), "JPEG", quality=95, subsampling=0)
    found = pixels(data, 3, reduction)
    assert found.shape == (-(-301 // reduction), -(-403 // reduction), 3)
    expected = Image.open(io.BytesIO(data)).resize(found.shape[1::-1], Image.Resampling.BOX)
    assert np.abs(found.astype(int) - np.asarray(expected).astype(int)).mean() < reduction + 1


def test_a_huge_jpeg_is_decoded_smaller_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(scene(300, 400), "JPEG")
    monkeypatch.setattr(decode, "MAX_PIXELS", 8000)
    assert open_image(data, 3, "x").size == (300, 400)
    assert open_image(data, 3, "x").pixels().shape == (75, 100, 3)


def test_thirty_thousand_pixels_a_side() -> None:
    strip = Image.new("RGB", (30_000, 10), COLOUR)
    for kind in ("JPEG", "PNG"):
        assert difference(pixels(encoded(strip, kind)), np.array(COLOUR)) <= 3
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    png += struct.pack(">I", zlib.crc32(chunk)) + encoded(scene())[33:]
    with pytest.raises(Unreadable, match=r"x cannot be read .*30000x30000 pixels, more than 67"):
        pixels(png)
    jpeg = bytearray(encoded(scene(), "JPEG"))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", 30_000, 30_000)
    with pytest.raises(Unreadable, match="30000x30000 pixels"):
        pixels(bytes(jpeg))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_a_truncated_file_is_unreadable(kind: str, share: float) -> None:
    noise = Image.effect_noise((64, 64), 50).convert("RGB")
    data = encoded(noise, kind)
    with pytest.raises(Unreadable, match=r"^photo cannot be read as an image \(.+\): repair it"):
        open_image(data[: int(share * len(data))], 3, "photo").pixels()


@pytest.mark.parametrize("data", [b"no image at all", b"\xff\xd8\xff", b"\xff\xd8" + bytes(99)])
def test_a_file_that_only_pretends_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable, match="photo cannot be read as an image"):
        open_image(data, 3, "photo").pixels()


def test_a_flaw_that_pillow_reads_over_is_read() -> None:
    jpeg = encoded(scene(), "JPEG", quality=95)
    flawed = jpeg[:-2] + b"\x00" * 20 + jpeg[-2:]
    assert pixels(flawed).shape == (60, 80, 3)


def test_one_pixel_is_an_image() -> None:
    for kind in ("JPEG", "PNG"):
        assert pixels(encoded(Image.new("RGB", (1, 1), COLOUR), kind)).shape == (1, 1, 3)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3), (6, 5, 4)])
def test_arrays_are_images(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    array.flags.writeable = False
    rgb = pixels(array, 3)
    assert np.array_equal(rgb, np.broadcast_to(array.reshape(6, 5, -1)[..., :3], (6, 5, 3)))
    assert difference(pixels(array, 1)[..., 0], Image.fromarray(rgb).convert("L")) == 0


def test_other_channels_are_taken_as_they_are() -> None:
    many = np.random.default_rng(0).integers(0, 256, (6, 5, 7), dtype=np.uint8)
    assert np.array_equal(pixels(many, 7), many)
    rgba = Image.fromarray(many[..., :4])
    assert np.array_equal(pixels(encoded(rgba), 4), many[..., :4])
    for data in (encoded(scene()), many[..., :3]):
        with pytest.raises(Unreadable, match=r"mode 'RGB', expected 4 channels"):
            pixels(data, 4)


@pytest.mark.parametrize(
    "array", [np.zeros((3, 3)), np.zeros(3, np.uint8), np.zeros((0, 3, 3), np.uint8)]
)
def test_an_array_that_is_no_image_is_refused(array: Any) -> None:
    with pytest.raises(Unreadable, match=r"expected \(H, W\) or \(H, W, C\) uint8"):
        open_image(array, 3, "x")


ORIENTATIONS = st.integers(1, 8)


@given(st.sampled_from(["PNG", "TIFF", "WEBP", "JPEG"]), ORIENTATIONS, st.sampled_from([1, 3]))
def test_every_format_is_turned_alike(kind: str, orientation: int, channels: int) -> None:
    exif = Image.Exif()
    exif[decode.ORIENTATION] = orientation
    stored = scene(8, 12).convert("L" if channels == 1 else "RGB")
    exact = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0}
    data = encoded(stored, kind, exif=exif, **({} if kind in ("PNG", "TIFF") else exact))
    plain = np.asarray(stored).reshape(8, 12, channels)
    assert difference(pixels(data, channels), upright(plain, orientation)) <= 4


def test_exif_counts_wherever_it_begins() -> None:
    """Behind a colour profile of 60 kB, as cameras and editors write it."""
    exif = Image.Exif()
    exif[decode.ORIENTATION] = 6
    plain = encoded(scene(8, 12), "JPEG", exif=exif, icc_profile=bytes(60_000))
    at = plain.index(b"\xff\xe1")
    size = struct.unpack(">H", plain[at + 2 : at + 4])[0] + 2
    block, rest = plain[at : at + size], plain[:at] + plain[at + size :]
    end = rest.index(b"\xff\xdb")  # tables of the pixels, behind all that tells of them
    assert open_image(rest[:end] + block + rest[end:], 3, "x").size == (12, 8)


@given(
    st.sampled_from([".png", ".tiff"]),
    st.sampled_from([1, 3, 4]),
    st.sampled_from([8, 10, 12, 14, 16]),
)
def test_deep_pixels_are_scaled_by_the_bits_that_they_use(
    suffix: str, channels: int, bits: int
) -> None:
    top = (1 << bits) - 1
    deep = np.linspace(0, top, 6 * 5 * channels).reshape(6, 5, channels).astype(np.uint16)
    _, data = cv2.imencode(suffix, deep[..., [2, 1, 0, 3][:channels]] if channels > 1 else deep)
    found = pixels(data.tobytes(), channels)
    assert np.abs(found - deep * (255 / top)).max() <= 0.51


def test_a_set_can_say_its_bits() -> None:
    dark = encoded(Image.fromarray(np.full((4, 4), 255, dtype=np.uint16)))
    assert open_image(dark, 1, "x").pixels().max() == 255
    assert open_image(dark, 1, "x", bits=16).pixels().max() == 1
    assert open_image(dark, 1, "x", bits=12).pixels().max() == 16
    bright = encoded(Image.fromarray(np.full((4, 4), 5000, dtype=np.uint16)))
    with pytest.raises(Unreadable, match=r"a pixel of 5000, where bits=12 end at 4095"):
        open_image(bright, 1, "x", bits=12).pixels()


@given(st.binary(max_size=200), st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP"]))
def test_any_damage_is_an_image_or_a_message(noise: bytes, kind: str) -> None:
    whole = encoded(scene(8, 12), kind)
    for data in (noise, whole[: len(noise)], whole[: -len(noise) or None], whole + noise):
        try:
            pixels(data)
        except Unreadable as error:
            assert str(error).startswith("x cannot be read as an image")


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "endless.png", "missing.png", "."):
        with pytest.raises(Unreadable, match=r"cannot be read as an image \("):
            open_file(tmp_path / name)


def test_class_ids_stay_and_turn_with_their_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[decode.ORIENTATION] = 6
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    mask = Image.fromarray(ids)
    mask.putpalette(bytes(range(256)) * 3)
    mask.save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(open_stored(tmp_path / "x.png").stored(), np.rot90(ids, -1))


def saved_pages(kind: str, count: int, **options: Any) -> bytes:
    pages = [Image.new("L", (8, 8), 40 * number) for number in range(count)]
    out = io.BytesIO()
    pages[0].save(out, kind, save_all=True, append_images=pages[1:], **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP"])
def test_pages_behind_the_first_are_not_left_out_silently(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    say.cache_clear()
    open_image(saved_pages(kind, 1), 1, "x").pixels()
    assert not caplog.text
    for _ in range(2):
        assert open_image(saved_pages(kind, 3), 1, "x").pixels().max() <= 1
    assert caplog.text.count(f"{kind} images of several pages or frames: only the first") == 1


def test_a_smaller_copy_is_no_page(caplog: pytest.LogCaptureFixture) -> None:
    say.cache_clear()
    out = io.BytesIO()
    pages = [Image.new("L", (16, 16), 9), Image.new("L", (8, 8), 9)]
    pages[1].encoderinfo = {"tiffinfo": {254: 1}}
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    open_image(out.getvalue(), 1, "x").pixels()
    assert not caplog.text
