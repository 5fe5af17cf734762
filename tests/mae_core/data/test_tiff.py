import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mae_core import UserError
from mae_core.data.decode import Unreadable
from mae_core.data.raster import MAX_VALUES
from mae_core.data.stored import read_raster
from tests.bands import field, tiff

IMAGE = field(0)
PLANES = np.ascontiguousarray(IMAGE.transpose(2, 0, 1))
GDAL = """<GDALMetadata>
  <Item name="DESCRIPTION" sample="1" role="description">B03</Item>
  <Item name="DESCRIPTION" sample="0" role="description">B02</Item>
</GDALMetadata>"""


def text_tag(code: int, text: str) -> tuple[int, int, int, bytes, bool]:
    content = text.encode() + b"\0"
    return code, 2, len(content), content, True


def pages(planes: NDArray[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, planes, photometric="minisblack", **options)
    return out.getvalue()


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rowsperstrip": 3}])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_every_layout_keeps_every_number(
    compression: str | None, layout: dict[str, Any], dtype: str
) -> None:
    image = IMAGE.astype(dtype)
    raster = read_raster(tiff(image, compression=compression, **layout), "x")
    assert raster.pixels.dtype == dtype and raster.kind == f"TIFF {dtype}"
    assert np.array_equal(raster.pixels, image)


@pytest.mark.parametrize(
    "options",
    [
        {"metadata": None},
        {"bigtiff": True, "byteorder": ">"},
        {"byteorder": ">", "compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "tile": (16, 16), "compression": "lzw"},
        {"ome": True, "metadata": {"axes": "CYX"}},
        {"imagej": True, "metadata": {"axes": "CYX"}},
    ],
)
def test_pages_and_planes_are_bands(options: dict[str, Any]) -> None:
    assert np.array_equal(read_raster(pages(PLANES, **options), "x").pixels, IMAGE)


@pytest.mark.parametrize("stored_as", ["rgb", "ycbcr"])
def test_a_jpeg_inside_a_tiff_has_the_colours_that_pillow_sees(stored_as: str) -> None:
    image = np.full((32, 32, 3), (200, 100, 50), dtype=np.uint8)
    data = tiff(image, photometric=stored_as, compression="jpeg")
    expected = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert np.abs(read_raster(data, "x").pixels - expected).max() <= 3


def test_smaller_copies_are_passed_over() -> None:
    out = io.BytesIO()
    options: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig"}
    with tifffile.TiffWriter(out) as writer:
        writer.write(IMAGE, metadata=None, **options)
        writer.write(IMAGE[::2, ::2], subfiletype=1, metadata=None, **options)
    assert np.array_equal(read_raster(out.getvalue(), "x").pixels, IMAGE)


def test_bands_have_the_names_that_files_give_them() -> None:
    names = [f"B{number:02}" for number in range(12)]
    ome = pages(PLANES, ome=True, metadata={"axes": "CYX", "Channel": {"Name": names}})
    assert read_raster(ome, "x").names == tuple(names)
    imagej = pages(PLANES, imagej=True, metadata={"axes": "CYX", "Labels": names})
    assert read_raster(imagej, "x").names == tuple(names)
    gdal = tiff(IMAGE[..., :2], extratags=[text_tag(42112, GDAL)])
    assert read_raster(gdal, "x").names == ("B02", "B03")
    too_few = tiff(IMAGE[..., :3], extratags=[text_tag(42112, GDAL)])
    assert read_raster(too_few, "x").names == ()
    broken = tiff(IMAGE, extratags=[text_tag(42112, "<GDALMetadata><Item")])
    assert read_raster(broken, "x").names == ()


@pytest.mark.parametrize(("text", "value"), [("-9999", -9999.0), ("0", 0.0), ("-3.4e+38", -3.4e38)])
def test_the_nodata_value_is_gdals(text: str, value: float) -> None:
    assert read_raster(tiff(IMAGE, extratags=[text_tag(42113, text)]), "x").nodata == value
    assert read_raster(tiff(IMAGE), "x").nodata is None
    with pytest.raises(Unreadable, match="its nodata value is 'none', no number"):
        read_raster(tiff(IMAGE, extratags=[text_tag(42113, "none")]), "x")


def test_a_tiff_is_the_right_way_up() -> None:
    turned = tiff(IMAGE, extratags=[(274, 3, 1, 6, True)])
    assert np.array_equal(read_raster(turned, "x").pixels, np.rot90(IMAGE, -1))


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits"])
def test_a_file_that_was_cut_off_is_refused_wherever(compression: str | None) -> None:
    data = tiff(IMAGE, compression=compression, rowsperstrip=4)
    for size in range(0, len(data), max(len(data) // 40, 1)):
        with pytest.raises(Unreadable, match=r"^x cannot be read as an image \(.+\): repair it"):
            read_raster(data[:size] or b"II*\0", "x")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255), st.sampled_from([None, "zlib", "lzw"]))
def test_any_damage_is_an_image_or_a_message(place: int, byte: int, compression: str) -> None:
    data = bytearray(tiff(IMAGE[:8, :8, :3], compression=compression))
    data[place % len(data)] = byte
    try:
        read_raster(bytes(data), "x")
    except Unreadable as error:
        assert str(error).startswith("x ")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_image_of_which_parts_are_missing_is_not_filled_up(compression: str | None) -> None:
    data = bytearray(tiff(IMAGE[..., 0], compression=compression, rowsperstrip=4))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        place = file.pages[0].tags["ImageLength"].valueoffset
    data[place : place + 2] = (16 * 40).to_bytes(2, "little")
    with pytest.raises(Unreadable, match="4 parts of 160 are there"):
        read_raster(bytes(data), "x")


@pytest.mark.parametrize("options", [{}, {"bigtiff": True, "byteorder": ">"}])
def test_pages_in_a_circle_are_refused_at_once(options: dict[str, Any]) -> None:
    data = bytearray(pages(PLANES[:3], metadata=None, **options))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        last, size = file.pages[2], file.tiff.offsetsize
        after = last.offset + file.tiff.tagnosize + len(last.tags) * file.tiff.tagsize
        order = "little" if file.byteorder == "<" else "big"
        data[after : after + size] = file.pages[0].offset.to_bytes(size, order)
    with pytest.raises(Unreadable, match="its list of pages goes in a circle"):
        read_raster(bytes(data), "x")


def test_images_of_different_sizes_are_no_bands() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(PLANES[0], metadata=None)
        writer.write(PLANES[1, ::2], metadata=None)
    with pytest.raises(Unreadable, match=r"x holds 2 images of different sizes .*16 × 16, 8 × 16"):
        read_raster(out.getvalue(), "x")


def test_huge_sizes_are_refused_before_memory_is_taken() -> None:
    data = bytearray(tiff(IMAGE[..., 0]))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        places = [file.pages[0].tags[code].valueoffset for code in (256, 257)]
    for place in places:
        data[place : place + 4] = (1 << 30).to_bytes(4, "little")
    with pytest.raises(Unreadable, match=r"x has .*×.* pixels and 1 bands: at most 67 million"):
        read_raster(bytes(data), "x")
    assert MAX_VALUES < 1 << 31


@pytest.mark.parametrize("package", ["tifffile", "imagecodecs"])
def test_a_package_that_is_not_installed_is_named(tmp_path: Path, package: str) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(IMAGE, compression="lzw"))
    code = f"""import sys
sys.modules[{package!r}] = None
from mae_core import UserError
from mae_core.data.stored import read_raster
try:
    read_raster(open({str(tmp_path / "x.tif")!r}, "rb").read(), "x")
except UserError as error:
    print(type(error).__name__, error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = f"UserError x takes the package {package}, which is not installed: pip install {package}"
    assert found.stdout.startswith(said), found.stderr
    assert issubclass(Unreadable, UserError)
