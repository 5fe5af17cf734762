"""Arrays of Zarr, versions 2 and 3, by zarr: read where they lie, a part at a time."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mae_core.data.picture import Unreadable, damage_told
from mae_core.data.raster import check_size, not_installed

if TYPE_CHECKING:
    from zarr import Array, Group

MARKS = ("zarr.json", ".zarray", ".zgroup")  # a file that is in each of these
PICKLE = "pickle"  # a codec of version 2 that would execute what a file says
OLD_AXES = "tczyx"  # of OME-Zarr before version 0.3
OPEN = 64  # stores in one process
AREA = ("y", "x")


def is_store(path: Path) -> bool:
    """Whether a folder is an array or a group of Zarr."""
    return any((path / mark).is_file() for mark in MARKS)


def read_zarr(path: str) -> NDArray[Any]:
    """The image in a folder of Zarr: (H, W) or (H, W, bands), as an .npy has it.

    That is an OME-Zarr's highest resolution, or the only array of two and more axes. Axes that the
    file names are put in order: all but y and x are bands. Chunks that are not there are the
    array's fill value, as Zarr means it; the attribute `_FillValue` says what was not measured, and
    becomes NaN.

    Raises:
        Unreadable: if it is no image, damaged or too large.
        UserError: if zarr is not installed.
    """
    with damage_told(path):
        array, axes = only_image(opened(path), path)
        check_numbers(array, path)
        shape = array.shape
        order = [*range(array.ndim)]
        if all(name in axes for name in AREA):
            area = [axes.index(name) for name in AREA]
            order = [*area, *(place for place in order if place not in area)]
        elif array.ndim > 3:
            raise Unreadable.of(path, f"an array of shape {shape} whose axes have no names")
        height, width, *others = (shape[place] for place in order)
        check_size((height, width, int(np.prod(others, dtype=object))), path)
        pixels = np.asarray(array[...]).transpose(order)
        pixels = pixels.reshape(height, width, -1) if others else pixels
        return measured(pixels, array.attrs.get("_FillValue"))


def opened(path: str) -> "Array | Group":
    """What a folder holds, as a process opened it first. Raises UserError without zarr."""
    try:
        return _opened(path)
    except ImportError as error:
        raise not_installed(path, "zarr", "zarr") from error


@lru_cache(OPEN)
def _opened(path: str) -> "Array | Group":
    import zarr

    return zarr.open(path, mode="r")


def only_image(found: "Array | Group", path: str) -> tuple["Array", Sequence[str]]:
    """The array of an image, and the names of its axes, empty without any."""
    import zarr

    if isinstance(found, zarr.Array):
        return found, axes_of(found)
    images = multiscales(found)
    if images:
        highest = found[images[0]["datasets"][0]["path"]]
        if not isinstance(highest, zarr.Array):
            raise Unreadable.of(path, "its highest resolution is no array")
        axes = images[0].get("axes") or OLD_AXES[-highest.ndim :]
        return highest, [axis["name"] if isinstance(axis, Mapping) else axis for axis in axes]
    arrays = {name: array for name, array in found.arrays() if array.ndim > 1}
    if len(arrays) != 1:
        known = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "none"
        raise Unreadable.of(path, f"a group of several images ({known}), expected one")
    (array,) = arrays.values()
    return array, axes_of(array)


def multiscales(group: "Group") -> list[Any]:
    """What OME-Zarr says of its images, in version 0.5 or before; empty for other groups."""
    attributes: dict[str, Any] = dict(group.attrs)
    found: list[Any] = (attributes.get("ome") or attributes).get("multiscales") or []
    return found


def axes_of(array: "Array") -> Sequence[str]:
    """Their names, of version 3 or as xarray writes them; empty without any."""
    names: Any = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS") or ()
    return names if len(names) == array.ndim and all(names) else ()


def check_numbers(array: "Array", path: str) -> None:
    """Raise Unreadable unless it holds real numbers, and no codec would execute what it holds."""
    codecs = [*(getattr(array.metadata, "filters", None) or ())]
    codecs += [getattr(array.metadata, "compressor", None)]
    if any(getattr(codec, "codec_id", "") == PICKLE for codec in codecs):
        raise Unreadable.of(path, "pickles are not loaded")
    if array.dtype.kind not in "uif" or array.ndim < 2 or not array.size:
        expected = "expected (H, W) or (H, W, bands), real numbers"
        raise Unreadable.of(path, f"an array of shape {array.shape} {array.dtype}, {expected}")


def measured(pixels: NDArray[Any], fill: Any) -> NDArray[Any]:
    """Pixels, float32 with NaN in place of `fill` if some have it."""
    if not isinstance(fill, int | float):
        return pixels
    missing = pixels == fill
    return np.where(missing, np.float32(np.nan), pixels) if missing.any() else pixels
