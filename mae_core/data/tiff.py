"""TIFFs of microscopes and satellites, by tifffile: any band, depth, layout and compression."""

import io
import logging
import math
import struct
from types import ModuleType
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from mae_core.data.decode import Unreadable, brief, upright
from mae_core.data.raster import Raster, check_size, not_installed

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

EXTRA = "tiff"  # of this package
ORIENTATION = 274  # tags
GDAL_METADATA = 42112
GDAL_NODATA = 42113


def read_tiff(data: bytes, name: str) -> Raster:
    """The image in a TIFF; smaller copies of it (pyramids) are passed over.

    All axes but height and width are bands, in their order in the file: samples, pages, channels.

    Args:
        data: the file.
        name: of the image, for messages.

    Raises:
        Unreadable: if it is damaged, or holds several images of different sizes.
        UserError: if a package that it takes is not installed.
    """
    tifffile = library(name)
    check_pages(data, name)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            series = only_image(file, name)
            check_size(shape_of(series), name)
            check_whole(series, len(data), name)
            pixels = series.asarray(maxworkers=1)
            page = series.keyframe
            raster = Raster(
                bands_last(pixels, series.axes, page),
                band_names(file, page),
                nodata(page, name),
                f"TIFF {pixels.dtype.name}",
            )
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # tifffile's and its codecs' readers raise many kinds
        if "imagecodecs" in str(error):
            raise not_installed(name, "imagecodecs", EXTRA) from error
        raise Unreadable.of(name, brief(error)) from error
    return raster


def library(name: str) -> ModuleType:
    """tifffile, which logs nothing here: what is wrong is raised. Raises UserError without it."""
    try:
        import tifffile
    except ImportError as error:
        raise not_installed(name, "tifffile", EXTRA) from error
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile


def check_pages(data: bytes, name: str) -> None:
    """Raise Unreadable unless the list of pages ends: tifffile would follow a circle for ever."""
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    first, count, entry, pointer = (8, "Q", 20, "Q") if big else (4, "H", 12, "I")
    seen: set[int] = set()
    try:
        (place,) = struct.unpack_from(order + pointer, data, first)
        while place and place not in seen:
            seen.add(place)
            (entries,) = struct.unpack_from(order + count, data, place)
            after = place + struct.calcsize(order + count) + entries * entry
            (place,) = struct.unpack_from(order + pointer, data, after)
    except struct.error as error:
        raise Unreadable.of(name, "cut off, or damaged in its list of pages") from error
    if place:
        raise Unreadable.of(name, "its list of pages goes in a circle")


def only_image(file: "TiffFile", name: str) -> "TiffPageSeries":
    """The only image in full size."""
    found = [
        each for each in file.series if not (each.keyframe.is_reduced or each.keyframe.is_mask)
    ]
    if len(found) != 1:
        shapes = ", ".join(" × ".join(map(str, each.shape)) for each in found[:4])
        raise Unreadable(
            f"{name} holds {len(found)} images of different sizes or types ({shapes}): expected "
            "one whose pages are its bands; write each to a file of its own"
        )
    return found[0]


def shape_of(series: "TiffPageSeries") -> tuple[int, int, int]:
    """Height, width and bands."""
    sides = dict(zip(series.axes, series.shape, strict=True))
    return sides["Y"], sides["X"], series.size // max(sides["Y"] * sides["X"], 1)


def check_whole(series: "TiffPageSeries", size: int, name: str) -> None:
    """Raise Unreadable if parts are in other files, behind the end, or larger than is read."""
    check_size((1, 1, math.prod(series.keyframe.chunks)), name)
    parts = math.prod(series.keyframe.chunked)
    for page in series.pages:
        if page is None:
            raise Unreadable(
                f"{name} is one of several files of one image, which are not read together: write "
                "the image to one file"
            )
        if len(page.dataoffsets) < parts:
            raise Unreadable.of(name, f"{len(page.dataoffsets)} parts of {parts} are there")
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if offset + count > size:
                end = offset + count
                raise Unreadable.of(name, f"cut off: {end:,} bytes expected, it has {size:,}")


def bands_last(pixels: Any, axes: str, page: "TiffPage") -> Any:
    """(H, W, C) the right way up, of axes in any order."""
    down, across = axes.index("Y"), axes.index("X")
    others = [place for place in range(pixels.ndim) if place not in (down, across)]
    height, width = pixels.shape[down], pixels.shape[across]
    flat = pixels.transpose(down, across, *others).reshape(height, width, -1)
    tag = page.tags.get(ORIENTATION)
    return upright(flat, tag.value) if tag and tag.value != 1 else flat


def nodata(page: "TiffPage", name: str) -> float | None:
    """GDAL's value for pixels that were not measured; None without one."""
    tag = page.tags.get(GDAL_NODATA)
    if tag is None:
        return None
    text = str(tag.value).strip("\0 ")
    try:
        return float(text)
    except ValueError as error:
        raise Unreadable.of(name, f"its nodata value is '{text:.40}', no number") from error


def band_names(file: "TiffFile", page: "TiffPage") -> tuple[str, ...]:
    """Names of the bands as OME, GDAL or ImageJ wrote them; empty without any."""
    if file.ome_metadata:
        return ome_names(file.ome_metadata)
    tag = page.tags.get(GDAL_METADATA)
    if tag is not None:
        return gdal_names(str(tag.value))
    labels = (file.imagej_metadata or {}).get("Labels") or ()
    return tuple(map(str, labels))


def ome_names(text: str) -> tuple[str, ...]:
    """The names of the channels of the first image."""
    for pixels in parsed(text).iter():
        if pixels.tag.endswith("}Pixels"):
            channels = [part for part in pixels if part.tag.endswith("}Channel")]
            names = tuple(channel.get("Name", "") for channel in channels)
            return names if all(names) else ()
    return ()


def gdal_names(text: str) -> tuple[str, ...]:
    """The bands' descriptions."""
    found = {}
    for item in parsed(text).iter("Item"):
        if item.get("role") == "description" and item.text:
            found[item.get("sample", "")] = item.text.strip()
    names = [found.get(str(place), "") for place in range(len(found))]
    return tuple(names) if all(names) else ()


def parsed(text: str) -> Element:
    """The XML, empty if it is none, or has a document type: entities are not read."""
    try:
        found: Element = fromstring(text.strip("\0 "), forbid_dtd=True)
    except (ParseError, DefusedXmlException):
        return Element("none")
    return found
