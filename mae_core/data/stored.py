"""From a stored image to its numbers as they are: any band, of 8 bits or more, whole or not."""

import io
import math
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mae_core.data.decode import (
    ARRAY,
    TIFFS,
    PillowImage,
    Unreadable,
    brief,
    is_dicom,
    upright,
)
from mae_core.data.picture import damage_told
from mae_core.data.raster import Raster, check_size

AS_COLOURS = {"P": "RGB", "PA": "RGBA", "1": "L"}  # Pillow's modes whose numbers are no levels


def read_raster(data: bytes | NDArray[Any], name: str) -> Raster:
    """An encoded file, or pixels (H, W) or (H, W, C), as a raster.

    Args:
        data: of a source.
        name: of the image, for messages.

    Raises:
        Unreadable: if it is no image, is damaged, or too large.
        UserError: if a package that it takes is not installed.
    """
    if not isinstance(data, bytes):
        return of_array(data, name, "array")
    if data.startswith(ARRAY):
        return of_array(read_npy(data, name), name, "NPY")
    if is_dicom(data):
        from mae_core.data.dicom import read_dicom  # here, as few need what it takes

        raster = read_dicom(data, name)
    elif data.startswith(TIFFS):
        from mae_core.data.tiff import read_tiff

        raster = read_tiff(data, name)
    else:
        raster = of_pillow(PillowImage(data, 3, name))
    if len(raster.names) != raster.pixels.shape[2]:
        return raster._replace(names=())
    return raster


def of_array(pixels: NDArray[Any], name: str, kind: str) -> Raster:
    """Pixels (H, W) or (H, W, C). Raises Unreadable for any other array."""
    if pixels.ndim not in (2, 3) or not pixels.size:
        raise Unreadable.of(name, f"an array of shape {pixels.shape}, expected (H, W) or (H, W, C)")
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    check_size(pixels.shape, name)
    return Raster(pixels, (), None, f"{kind} {pixels.dtype.name}")


def of_pillow(image: PillowImage) -> Raster:
    """Any file that Pillow reads, palettes as their colours."""
    image.check_size()
    with damage_told(image.name):
        if image.is_deep:
            pixels = image.deep()
        else:
            mode = AS_COLOURS.get(image.image.mode)
            pixels = np.asarray(image.image.convert(mode) if mode else image.image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    kind = f"{image.image.format} {pixels.dtype.name}"
    return Raster(upright(pixels, image.orientation), (), None, kind)


def read_npy(data: bytes, name: str) -> NDArray[Any]:
    """The array of an .npy file; its header is checked before memory is taken for it.

    Raises:
        Unreadable: if it is damaged, or holds Python objects.
    """
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, in_columns, dtype = read(file)
    except Exception as error:  # NumPy's parser raises many kinds
        raise Unreadable.of(name, brief(error)) from error
    if dtype.kind not in "buifc":
        raise Unreadable.of(name, f"an array of {dtype}, expected numbers: pickles are not loaded")
    expected, found = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if expected != found:
        stated = f"its header says {shape} {dtype}, {expected:,} bytes"
        raise Unreadable.of(name, f"{stated}, it has {found:,}")
    flat = np.frombuffer(data, dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if in_columns else "C")
