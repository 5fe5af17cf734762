"""DICOM files of scanners, by pydicom: numbers in their units, or a picture by their window."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mae_core.data.picture import AS_STORED, Pixels, Unreadable, converted, damage_told, eight_bits
from mae_core.data.raster import Raster, check_size, not_installed

if TYPE_CHECKING:
    from pydicom import Dataset

PIXELS = 0x0028  # group of the tags of an image's pixels
OTHERS = (0x52009229, 0x52009230, 0x7FE00001, 0x7FE00002, 0x7FE00008, 0x7FE00009, 0x7FE00010)
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
GREY = ("MONOCHROME1", "MONOCHROME2")
FAR = 1e12  # beyond any window


def read_dicom(data: bytes, name: str) -> Raster:
    """The image of a DICOM file: as its modality means the numbers, such as in Hounsfield units.

    That is after rescale slope and intercept, or the modality's table; the window does not count.
    Frames are bands, colours are RGB. Padding is NaN, as it was not measured.

    Args:
        data: the file.
        name: of the image, for messages, which hold nothing else of the file.

    Raises:
        Unreadable: if it is damaged, or keeps the meaning of its numbers for each frame.
        UserError: if a package that it takes is not installed.
    """
    scan = header(data, name)
    with quietly(name):
        stored = decoded(scan, name)
        pixels = colours(stored, scan) if is_coloured(scan) else in_units(stored, scan)
        if int(scan.get("NumberOfFrames") or 1) > 1:
            pixels = np.moveaxis(pixels, 0, 2)
        height, width = pixels.shape[:2]
        return Raster(pixels.reshape(height, width, -1), (), None, f"DICOM {pixels.dtype.name}")


class DicomImage:
    """A DICOM file as a picture of 8 bits; see `Opened` in mae_core/data/decode.py.

    Grey ones are shown by the first window that the file has, MONOCHROME1 inverted.

    Raises:
        Unreadable: if it is damaged or too large, or has several frames.
    """

    def __init__(self, data: bytes, channels: int, name: str) -> None:
        self.channels, self.name = channels, name
        self.scan = header(data, name)
        self.size = (int(self.scan.Rows), int(self.scan.Columns))
        frames = int(self.scan.get("NumberOfFrames") or 1)
        if frames > 1:
            raise Unreadable(
                f"{name} has {frames} frames: write each to a file of its own, or read them as "
                "bands with bands='all'"
            )

    def pixels(self, reduction: int = 1) -> Pixels:
        """(H, W, channels); never reduced.

        Raises:
            Unreadable: if the file is damaged, or says no window of numbers that need one.
        """
        with quietly(self.name):
            stored = decoded(self.scan, self.name)
            if is_coloured(self.scan):
                found = colours(stored, self.scan)[..., :3]
                shown = eight_bits(found, 16) if found.dtype == np.uint16 else found
            else:
                shown = windowed(stored, self.scan, self.name)
            return converted(Image.fromarray(shown), self.channels)


@lru_cache
def tags(name: str = "") -> list[int]:
    """What is read: nothing that says who was scanned, so that no message or log can.

    Raises:
        UserError: if pydicom is not installed.
    """
    try:
        from pydicom import config
        from pydicom.datadict import DicomDictionary
    except ImportError as error:
        raise not_installed(name, "pydicom", "dicom") from error
    config.settings.reading_validation_mode = config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    return [tag for tag in DicomDictionary if tag >> 16 == PIXELS] + [*OTHERS]


@contextmanager
def quietly(name: str) -> Iterator[None]:
    """As :func:`damage_told`, without the readers' warnings."""
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"), damage_told(name):
        yield


def header(data: bytes, name: str) -> "Dataset":
    """What the file says of its pixels, and they as they are encoded."""
    wanted = tags(name)
    from pydicom import dcmread

    with quietly(name):
        scan = dcmread(io.BytesIO(data), specific_tags=wanted)
        missing = [key for key in ("Rows", "Columns", "BitsStored") if not scan.get(key)]
        if missing or not (set(scan.keys()) & set(OTHERS[-3:])):
            what = f"no {missing[0]}" if missing else "no pixels"
            raise Unreadable.of(name, f"{what}: cut off, or a DICOM file of something else")
        count = int(scan.get("NumberOfFrames") or 1) * int(scan.SamplesPerPixel)
        check_size((int(scan.Rows), int(scan.Columns), count), name)
        for key in GROUPS:
            if any("PixelValueTransformationSequence" in group for group in scan.get(key) or ()):
                raise Unreadable(
                    f"{name} says of each frame how its numbers are rescaled (an enhanced object), "
                    "which is not read: write each frame to a file of its own"
                )
    return scan


def decoded(scan: "Dataset", name: str) -> NDArray[Any]:
    """The stored numbers, (H, W), (H, W, 3), or such of frames with these first; YBR as RGB.

    Raises:
        Unreadable, UserError: if nothing that is installed decodes them.
    """
    from pydicom.pixels import get_decoder, pixel_array

    syntax = scan.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not get_decoder(syntax).is_available:
        try:
            import gdcm  # noqa: F401
        except ImportError as error:
            raise not_installed(name, "python-gdcm", "dicom") from error
        raise Unreadable.of(name, f"compressed as {syntax.name}, which is not known here")
    quiet_gdcm()
    return pixel_array(scan)


@lru_cache
def quiet_gdcm() -> None:
    """GDCM prints nothing: what is wrong is raised."""
    try:
        import gdcm
    except ImportError:
        return
    for part in ("Warning", "Error", "Debug"):
        getattr(gdcm.Trace, f"{part}Off")()


def is_coloured(scan: "Dataset") -> bool:
    """Whether pixels are colours, or numbers of some."""
    return scan.PhotometricInterpretation not in GREY


def colours(stored: NDArray[Any], scan: "Dataset") -> NDArray[Any]:
    """RGB, palettes looked up."""
    if scan.PhotometricInterpretation != "PALETTE COLOR":
        return stored
    from pydicom.pixels import apply_color_lut

    return apply_color_lut(stored, scan)


def in_units(stored: NDArray[Any], scan: "Dataset") -> NDArray[Any]:
    """Numbers as the modality means them, float32 where they are rescaled, padding NaN."""
    from pydicom.pixels import apply_modality_lut

    values = apply_modality_lut(stored, scan)
    if values.dtype != stored.dtype and values.dtype.kind == "f":
        values = values.astype(np.float32)
    if scan.get("PixelPaddingValue") is None or stored.dtype.kind == "f":
        return values
    ends = [scan.PixelPaddingValue, scan.get("PixelPaddingRangeLimit", scan.PixelPaddingValue)]
    low, high = sorted(np.array(ends).astype(stored.dtype))  # -2000 may be written as 63536
    padding = (stored >= low) & (stored <= high)
    return np.where(padding, np.float32(np.nan), values) if padding.any() else values


def windowed(stored: NDArray[Any], scan: "Dataset", name: str) -> Pixels:
    """(H, W) by the first window of the file, or its table; 8 bits without either stay.

    Raises:
        Unreadable: if there is none.
    """
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    values = apply_modality_lut(stored, scan)
    if scan.get("WindowCenter") is not None and scan.get("WindowWidth") is not None:
        shown = apply_voi_lut(values, scan, prefer_lut=False)
        low, high = apply_voi_lut(np.array([-FAR, FAR]), scan, prefer_lut=False)
    elif scan.get("VOILUTSequence"):
        entries, _, bits = scan.VOILUTSequence[0].LUTDescriptor
        if bits == 8 and not 0 < entries <= 256:  # of which pydicom keeps 8 bits of the place
            raise Unreadable(f"{name} has a window of {entries} entries of 8 bits{AS_STORED}")
        shown, low, high = apply_voi_lut(values, scan), 0, (1 << bits) - 1
    elif values.dtype == np.uint8:
        shown, low, high = values, 0, 255
    else:
        raise Unreadable(
            f"{name} has no window to show its numbers by: read them as they are stored, with "
            "bands='all', and clip=(low, high) as the window"
        )
    grey = (np.clip((shown - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)
    return 255 - grey if scan.PhotometricInterpretation == "MONOCHROME1" else grey
