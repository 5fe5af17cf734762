"""From a stored image to pixels, the only way there is: JPEGs by libjpeg-turbo, else by Pillow."""

import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from mae_core.data.picture import (
    AS_STORED,
    MAX_PIXELS,
    MODES,
    Pixels,
    Unreadable,
    brief,
    converted,
    damage_told,
    eight_bits,
)
from mae_core.errors import UserError
from mae_core.notices import say

Size = tuple[int, int]  # height, width

REDUCTIONS = (8, 4, 2, 1)  # of a JPEG's sides; libjpeg-turbo is slower at scales between
MAX_BYTES = 1 << 30  # of a file
JPEG = b"\xff\xd8"  # begins those
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # begin those; '+' is BigTIFF
ARRAY = b"\x93NUMPY"  # begins an .npy
DICOM, DICOM_AT = b"DICM", 128  # what a DICOM file has, and where
ORIENTATION = 0x0112  # EXIF's tag
SUBFILE, REDUCED, MASK = 254, 1, 4  # TIFF's tag of what a page is, and its bits

Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS takes its place
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)  # it also raises what it logs


@contextmanager
def memory_for(name: str) -> Iterator[None]:
    """Raise UserError where there is no memory for the image `name`, which is no damage."""
    try:
        yield
    except MemoryError as error:
        raise UserError(
            f"{name} takes more memory than there is ({brief(error)}): make room, use fewer "
            "workers, or cut it into tiles"
        ) from error


class Opened(Protocol):
    """An image whose header was read."""

    @property
    def size(self) -> Size:
        """Height and width, the right way up."""

    def pixels(self, reduction: int = 1) -> NDArray[Any]:
        """(H, W, C), the right way up: uint8, or float32 where bands are read as stored.

        Args:
            reduction: 1, 2, 4 or 8: the sides may come out so many times shorter, rounded up.

        Raises:
            Unreadable: if the file is damaged, or has other channels than asked for.
        """


def open_image(data: bytes | Pixels, channels: int, name: str, bits: int | None = None) -> Opened:
    """Read an image's header.

    Args:
        data: an encoded file, or pixels (H, W) or (H, W, C) uint8.
        channels: 1 reads as grey, 3 as RGB, without transparency and with more than 8 bits scaled
            to 8; other numbers take images that have exactly so many.
        name: of the image, for messages.
        bits: that the pixels of a file with 16 bits a channel use; without it the fewest of
            :data:`BITS` that hold all of its pixels.

    Raises:
        Unreadable: if it is no image, or too large.
    """
    if not isinstance(data, bytes):
        return ArrayImage(data, channels, name)
    if is_dicom(data):
        from mae_core.data.dicom import DicomImage  # here, as few need what it takes

        return DicomImage(data, channels, name)
    if channels in MODES and data.startswith(JPEG):
        try:
            return JpegImage(data, channels, name)
        except ValueError:
            pass  # Pillow reads it, or says why not
    return PillowImage(data, channels, name, bits)


def is_dicom(data: bytes) -> bool:
    """Whether an encoded file is one of DICOM, which may begin as a TIFF too."""
    return data.startswith(DICOM, DICOM_AT)


def open_file(path: str | Path, channels: int = 3) -> Opened:
    """As :func:`open_image`, of a file. Raises Unreadable if it cannot be read."""
    return open_image(read_file(path), channels, str(path))


def open_stored(path: str | Path) -> "PillowImage":
    """A file whose pixels mean something else than light: read by :meth:`PillowImage.stored`.

    Raises:
        Unreadable: if it is no image.
    """
    return PillowImage(read_file(path), 1, str(path))


def read_file(path: str | Path) -> bytes:
    """As :func:`read_regular`. Raises Unreadable for its errors."""
    try:
        return read_regular(path)
    except OSError as error:
        raise Unreadable.of(str(path), error.strerror) from error


def read_regular(path: str | Path) -> bytes:
    """A regular file's content: no device and no pipe, which may have no end.

    Raises:
        OSError: if it is none, is larger than `MAX_BYTES` or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
    with open(handle, "rb") as file:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(0, "no regular file")
        if state.st_size > MAX_BYTES:
            raise OSError(0, f"{state.st_size:,} bytes, at most {MAX_BYTES:,} are read")
        return file.read(MAX_BYTES)


class JpegImage:
    """A grey or colour JPEG. Raises ValueError on any other file."""

    def __init__(self, data: bytes, channels: int, name: str) -> None:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space in ("CMYK", "YCCK"):
            raise ValueError(space)
        self.data, self.channels, self.name = data, channels, name
        self.stored = height, width
        has_exif = b"Exif\0\0" in data  # wherever other blocks, such as a profile, let it begin
        self.orientation = PillowImage(data, channels, name).orientation if has_exif else 1
        self.size = turned(self.stored, self.orientation)

    def pixels(self, reduction: int = 1) -> Pixels:
        """See :class:`Opened`; an image of more than `MAX_PIXELS` is reduced further."""
        height, width = self.stored
        while height * width > MAX_PIXELS * reduction**2 and reduction < REDUCTIONS[0]:
            reduction *= 2
        least = (-(-height // reduction), -(-width // reduction)) if reduction > 1 else (0, 0)
        space = "RGB" if self.channels == 3 else "GRAY"
        try:
            pixels = simplejpeg.decode_jpeg(
                self.data, space, min_height=least[0], min_width=least[1]
            )
        except ValueError:  # perhaps a flaw that Pillow reads over
            return PillowImage(self.data, self.channels, self.name).pixels()
        return upright(pixels, self.orientation)


class PillowImage:
    """Any file that Pillow reads."""

    def __init__(self, data: bytes, channels: int, name: str, bits: int | None = None) -> None:
        self.data, self.channels, self.name, self.bits = data, channels, name, bits
        try:
            self.image = Image.open(io.BytesIO(data))
        except Exception as error:  # Pillow's readers raise many kinds
            known = data.startswith((*TIFFS, ARRAY))
            raise Unreadable.of(name, f"{brief(error)}{AS_STORED if known else ''}") from error
        self.is_deep = self.image.mode.startswith(("I", "F")) or any(
            ";16" in str(tile.args) for tile in self.image.tile
        )
        self.orientation = orientation_of(self.image)
        self.size = turned((self.image.height, self.image.width), self.orientation)

    def pixels(self, reduction: int = 1) -> Pixels:
        """See :class:`Opened`; never reduced, and refused above `MAX_PIXELS`."""
        with damage_told(self.name):
            self.check_size()
            if self.has_pages:
                say(
                    f"{self.image.format} images of several pages or frames: only the first is "
                    "read; bands='all' reads the pages of a TIFF as bands, mae-bench data check "
                    "counts such images"
                )
            scaled = eight_bits(self.deep(), self.bits) if self.is_deep else None
            image = self.image if scaled is None else Image.fromarray(scaled)
            pixels = converted(image, self.channels)
        return upright(pixels, self.orientation)

    @property
    def has_pages(self) -> bool:
        """Whether a page or frame follows the first that is no smaller copy of it, nor a mask."""
        if self.image.format == "MPO" or not getattr(self.image, "is_animated", False):
            return False  # of a JPEG, what follows is a camera's preview
        if not isinstance(self.image, TiffImageFile):
            return True
        with suppress(Exception), Image.open(io.BytesIO(self.data)) as other:
            other.seek(1)  # which fails if it is damaged: the first is read all the same
            assert isinstance(other, TiffImageFile)
            return not other.tag_v2.get(SUBFILE, 0) & (REDUCED | MASK)
        return False

    def check_size(self) -> None:
        """Raise Unreadable for more pixels than are decoded."""
        width, height = self.image.size
        if width * height > MAX_PIXELS:
            limit = f"more than {MAX_PIXELS // 10**6} million"
            raise Unreadable.of(self.name, f"{width}x{height} pixels, {limit}")

    def stored(self) -> NDArray[Any]:
        """(H, W) or (H, W, C) as they are in the file, such as a mask's class ids, but upright.

        Raises:
            Unreadable: if the file is damaged.
        """
        self.check_size()
        with damage_told(self.name):
            pixels = np.asarray(self.image)
        flat = pixels.ndim == 2
        found = upright(pixels[..., None] if flat else pixels, self.orientation)
        return found[..., 0] if flat else found

    def deep(self) -> NDArray[Any]:
        """(H, W) or (H, W, 3 or 4), not upright yet, of an image with more than 8 bits a channel.

        Raises:
            Unreadable, ValueError: if the file is damaged, or is no whole numbers of 16 bits.
        """
        self.check_size()
        if self.image.mode.startswith(("I", "F")):
            pixels = np.asarray(self.image)
        else:  # of colours Pillow drops the lower 8 bits
            pixels = colours_of_16_bits(self.data)
        if pixels.dtype.kind == "f" or pixels.min() < 0 or pixels.max() > 0xFFFF:
            raise ValueError(
                f"pixels of mode '{self.image.mode}', expected 8 or 16 bits a channel{AS_STORED}"
            )
        return pixels


class ArrayImage:
    """Pixels (H, W) or (H, W, C) uint8. Raises Unreadable on any other array."""

    def __init__(self, array: Pixels, channels: int, name: str) -> None:
        if array.ndim not in (2, 3) or array.dtype != np.uint8 or not array.size:
            found = f"{array.shape} {array.dtype}"
            expected = f"expected (H, W) or (H, W, C) uint8{AS_STORED}"
            raise Unreadable.of(name, f"{found}, {expected}")
        array = array[..., None] if array.ndim == 2 else array
        self.array = np.require(array, requirements=("C", "W"))
        self.channels, self.name = channels, name
        self.size = (array.shape[0], array.shape[1])

    def pixels(self, reduction: int = 1) -> Pixels:
        """See :class:`Opened`; never reduced."""
        if self.array.shape[2] == self.channels:
            return self.array
        plain = self.array[..., 0] if self.array.shape[2] == 1 else self.array
        with damage_told(self.name):
            return converted(Image.fromarray(plain), self.channels)


class Decoded:
    """Pixels (H, W, C) that were decoded before."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.decoded = pixels
        self.size = (pixels.shape[0], pixels.shape[1])

    def pixels(self, reduction: int = 1) -> NDArray[Any]:
        """See :class:`Opened`; never reduced."""
        return self.decoded


def colours_of_16_bits(data: bytes) -> NDArray[np.uint16]:
    """(H, W, 3 or 4), RGB or RGBA, as stored. Raises ValueError if it cannot be read so."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise ValueError("its 16 bits a channel are stored in a way that is not known here")
    return np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1, upright, where there is none that can be read."""
    if image.format == "TIFF":
        return 1  # Pillow itself turns them
    if image.format == "PNG" and image.width * image.height > MAX_PIXELS:
        return 1  # Pillow decodes a PNG to look for EXIF behind the pixels
    with warnings.catch_warnings(action="ignore"):
        try:
            return int(image.getexif().get(ORIENTATION, 1))
        except Exception:  # a damaged EXIF block is no damaged image
            return 1


def turned(stored: Size, orientation: int) -> Size:
    """Height and width after :func:`upright`."""
    return stored[::-1] if orientation in (5, 6, 7, 8) else stored


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """`pixels` (H, W, C) turned and mirrored as EXIF's orientation 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
