"""From a stored image to pixels: JPEGs by libjpeg-turbo, all else by Pillow."""

import io
import warnings
from typing import Protocol

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from mae_core.errors import UserError

Pixels = NDArray[np.uint8]
Size = tuple[int, int]  # height, width

REDUCTIONS = (8, 4, 2, 1)  # of a JPEG's sides; libjpeg-turbo is slower at scales between
MAX_PIXELS = 1 << 26  # decoded at once: 67 million, 201 MB of RGB
MODES = {1: "L", 3: "RGB"}  # of Pillow, by channels
ORIENTATION = 0x0112  # EXIF's tag
EXIF_WITHIN = 1 << 12  # bytes of a JPEG in which its EXIF block begins

Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS takes its place


class Unreadable(UserError):
    """An image that cannot be decoded: the message names it and says why."""

    @classmethod
    def of(cls, name: str, reason: object) -> "Unreadable":
        """The error of the image `name`."""
        return cls(f"{name} cannot be read as an image ({reason}): repair it or delete it")


class Opened(Protocol):
    """An image whose header was read.

    Attributes:
        size: height and width, the right way up.
    """

    size: Size

    def pixels(self, reduction: int = 1) -> Pixels:
        """(H, W, C), the right way up.

        Args:
            reduction: 1, 2, 4 or 8: the sides may come out so many times shorter, rounded up.

        Raises:
            Unreadable: if the file is damaged, or has other channels than asked for.
        """


def open_image(data: bytes | Pixels, channels: int, name: str) -> Opened:
    """Read an image's header.

    Args:
        data: an encoded file, or pixels (H, W) or (H, W, C) uint8.
        channels: 1 reads as grey, 3 as RGB, without transparency and with 16 bits scaled to 8;
            other numbers take images that have exactly so many.
        name: of the image, for messages.

    Raises:
        Unreadable: if it is no image, or too large.
    """
    if not isinstance(data, bytes):
        return ArrayImage(data, channels, name)
    if channels in MODES and data.startswith(b"\xff\xd8"):
        try:
            return JpegImage(data, channels, name)
        except ValueError:
            pass  # Pillow reads it, or says why not
    return PillowImage(data, channels, name)


class JpegImage:
    """A grey or colour JPEG. Raises ValueError on any other file."""

    def __init__(self, data: bytes, channels: int, name: str) -> None:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space in ("CMYK", "YCCK"):
            raise ValueError(space)
        self.data, self.channels, self.name = data, channels, name
        self.stored = height, width
        has_exif = data.find(b"Exif\0\0", 0, EXIF_WITHIN) >= 0
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

    def __init__(self, data: bytes, channels: int, name: str) -> None:
        self.channels, self.name = channels, name
        try:
            self.image = Image.open(io.BytesIO(data))
        except Exception as error:  # Pillow's readers raise many kinds
            raise Unreadable.of(name, brief(error)) from error
        self.orientation = orientation_of(self.image)
        self.size = turned((self.image.height, self.image.width), self.orientation)

    def pixels(self, reduction: int = 1) -> Pixels:
        """See :class:`Opened`; never reduced, and refused above `MAX_PIXELS`."""
        width, height = self.image.size
        if width * height > MAX_PIXELS:
            limit = f"more than {MAX_PIXELS // 10**6} million"
            raise Unreadable.of(self.name, f"{width}x{height} pixels, {limit}")
        try:
            pixels = converted(self.image, self.channels)
        except Exception as error:
            raise Unreadable.of(self.name, brief(error)) from error
        return upright(pixels, self.orientation)


class ArrayImage:
    """Pixels (H, W) or (H, W, C) uint8. Raises Unreadable on any other array."""

    def __init__(self, array: Pixels, channels: int, name: str) -> None:
        if array.ndim not in (2, 3) or array.dtype != np.uint8 or not array.size:
            found = f"{array.shape} {array.dtype}"
            raise Unreadable.of(name, f"{found}, expected (H, W) or (H, W, C) uint8")
        array = array[..., None] if array.ndim == 2 else array
        self.array = np.require(array, requirements=("C", "W"))
        self.channels, self.name = channels, name
        self.size = (array.shape[0], array.shape[1])

    def pixels(self, reduction: int = 1) -> Pixels:
        """See :class:`Opened`; never reduced."""
        if self.array.shape[2] == self.channels:
            return self.array
        plain = self.array[..., 0] if self.array.shape[2] == 1 else self.array
        try:
            return converted(Image.fromarray(plain), self.channels)
        except Exception as error:
            raise Unreadable.of(self.name, brief(error)) from error


def converted(image: Image.Image, channels: int) -> Pixels:
    """(H, W, channels) of an image of any mode.

    Raises:
        ValueError: if its pixels have no range of 8 or 16 bits, or not so many channels.
    """
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(eight_bits(image))
    if channels in MODES:
        image = image.convert(MODES[channels])
    pixels = np.array(image)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if pixels.shape[2] != channels:
        raise ValueError(f"mode '{image.mode}', expected {channels} channels")
    return pixels


def eight_bits(image: Image.Image) -> Pixels:
    """(H, W): 0..65535 scaled to 0..255. Raises ValueError on another range."""
    deep = np.asarray(image)
    if image.mode.startswith("F") or deep.min() < 0 or deep.max() > 0xFFFF:
        raise ValueError(f"pixels of mode '{image.mode}', expected 8 or 16 bits a channel")
    return ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1, upright, where there is none that can be read."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return int(image.getexif().get(ORIENTATION, 1))
        except Exception:  # a damaged EXIF block is no damaged image
            return 1


def turned(stored: Size, orientation: int) -> Size:
    """Height and width after :func:`upright`."""
    return stored[::-1] if orientation in (5, 6, 7, 8) else stored


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """`pixels` (H, W, C) turned and mirrored as EXIF's orientation 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def brief(error: Exception) -> str:
    """The error in words, without Pillow's memory addresses."""
    unknown = isinstance(error, Image.UnidentifiedImageError)
    return "not an image's content" if unknown else str(error) or type(error).__name__
