"""What all readers of images share: limits, the error, and the way to 8 bits a channel."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mae_core.errors import UserError

Pixels = NDArray[np.uint8]

MAX_PIXELS = 1 << 26  # decoded at once: 67 million, 201 MB of RGB
AS_STORED = "; bands='all' reads pixels as they are stored"
MODES = {1: "L", 3: "RGB"}  # of Pillow, by channels
BITS = (8, 10, 12, 14, 16)  # a channel's, as cameras, scanners and microscopes deliver them


class Unreadable(UserError):
    """An image that cannot be decoded: the message names it and says why."""

    @classmethod
    def of(cls, name: str, reason: object) -> "Unreadable":
        """The error of the image `name`."""
        return cls(f"{name} cannot be read as an image ({reason}): repair it or delete it")


@contextmanager
def damage_told(name: str) -> Iterator[None]:
    """Raise Unreadable for whatever the readers of a damaged image raise; errors for users stay."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # the libraries' are of many kinds
        raise Unreadable.of(name, " ".join(brief(error).split())) from error


def converted(image: Image.Image, channels: int) -> Pixels:
    """(H, W, channels) of an image of 8 bits a channel.

    Raises:
        ValueError: if it has not so many channels.
    """
    if channels in MODES:
        image = image.convert(MODES[channels])
    pixels = np.array(image)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if pixels.shape[2] != channels:
        raise ValueError(f"mode '{image.mode}', expected {channels} channels as in_chans says")
    return pixels


def bits_used(deep: NDArray[Any]) -> int:
    """The fewest of :data:`BITS` that hold pixels of 0..65535."""
    return next(bits for bits in BITS if deep.max() < 1 << bits)


def eight_bits(deep: NDArray[Any], bits: int | None) -> Pixels:
    """`deep`, in 0 to 2**bits - 1, scaled to 0..255; see :func:`bits_used` without `bits`.

    Raises:
        ValueError: if a pixel has more bits.
    """
    top = (1 << (bits or bits_used(deep))) - 1
    if deep.max() > top:
        raise ValueError(f"a pixel of {deep.max()}, where bits={bits} end at {top}")
    return ((2 * 255 * deep.astype(np.uint32) + top) // (2 * top)).astype(np.uint8)


def brief(error: Exception) -> str:
    """The error in words, without Pillow's memory addresses."""
    unknown = isinstance(error, Image.UnidentifiedImageError)
    return "not an image's content" if unknown else str(error) or type(error).__name__
