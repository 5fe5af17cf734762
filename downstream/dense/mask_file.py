"""A mask's pixels as its file has them: numbers, or the colours that viewers show."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from downstream.dense.naming import EXPORT
from mae_core.data.decode import PillowImage, Unreadable, open_stored, upright
from mae_core.errors import UserError

Values = NDArray[np.unsignedinteger]

NUMBERED = ("L", "P", "1", "LA", "PA")  # modes of Pillow, and those that begin with I
SHOWN = ("L", "P", "1", "LA", "PA", "RGB", "RGBA", "RGBX")
COLOURED = ("RGB", "RGBA", "RGBX")
LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000")  # formats
LARGEST = 65535  # number that a pixel may hold
OPAQUE = 255
KINDS = "PNG, TIFF, BMP or GIF of whole numbers of at most 32 bits, or colours of 8 bits a channel"


def read_mask(path: Path | str, coloured: bool = False) -> Values:
    """A mask's values (H, W), upright: uint8 or uint16 numbers, or uint32 colours 0xRRGGBB.

    Numbers are those of grey files, and the indices of files with a palette.

    Args:
        path: of a PNG, TIFF, BMP or GIF.
        coloured: whether its values are the colours that viewers show.

    Raises:
        UserError: if it cannot be read, or holds anything else.
    """
    try:
        opened = open_stored(path)
    except Unreadable as error:
        raise UserError(f"{error}; masks are {KINDS}") from error
    refuse_inexact(opened)
    return shown_colours(opened) if coloured else stored_numbers(opened)


def mode_of(path: Path) -> str:
    """Pillow's mode of a file's pixels, '' if it is no picture."""
    try:
        return open_stored(path).image.mode
    except Unreadable:
        return ""


def refuse_inexact(opened: PillowImage) -> None:
    """Raise UserError for a file that does not hold one picture of exact values."""
    image = opened.image
    if image.format in LOSSY or image.info.get("compression") == "jpeg":
        kind = image.format if image.format in LOSSY else "JPEG"
        raise UserError(f"{opened.name} is compressed as {kind}, which {EXPORT}")
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise UserError(f"{opened.name} has {pages} pages: expected a mask of one")


def stored_numbers(opened: PillowImage) -> Values:
    """(H, W) uint8 or uint16. Raises UserError for colours, fractions and larger numbers."""
    name, mode = opened.name, opened.image.mode
    if mode in COLOURED and not opened.is_deep:
        raise UserError(
            f"{name} is in colours ({mode}): name that of each class by pixel_values, such as "
            "['#000000','#ff0000']; `mae-bench data check IMAGES --masks MASKS` shows which it has"
        )
    if mode.startswith("I"):
        deep = opened.stored()
        if deep.min() < 0 or deep.max() > LARGEST:
            raise UserError(
                f"{name} holds numbers from {deep.min()} to {deep.max()}: expected 0 to {LARGEST}"
            )
        return deep.astype(np.uint16)
    if mode not in NUMBERED or opened.is_deep:
        raise UserError(f"{name} holds {described(opened)}: a mask holds a whole number a pixel")
    pixels = opened.stored()
    return opaque(pixels, name)[..., 0] if pixels.ndim == 3 else pixels.astype(np.uint8)


def shown_colours(opened: PillowImage) -> Values:
    """(H, W) uint32, 0xRRGGBB. Raises UserError for what is no colours of 8 bits a channel."""
    if opened.image.mode not in SHOWN or opened.is_deep:
        raise UserError(
            f"{opened.name} holds {described(opened)}: pixel_values names colours, of 8 bits a "
            "channel"
        )
    opened.check_size()
    pixels = upright(np.asarray(opened.image.convert("RGBA")), opened.orientation)
    red, green, blue = np.moveaxis(opaque(pixels, opened.name), -1, 0).astype(np.uint32)
    colours: Values = red << 16 | green << 8 | blue
    return colours


def described(opened: PillowImage) -> str:
    """What a file's pixels are, for a message."""
    mode = opened.image.mode
    if mode.startswith("I"):
        return "numbers of more than 8 bits"
    if mode == "F":
        return "fractions"
    return f"{mode} pixels of 16 bits a channel" if opened.is_deep else f"{mode} pixels"


def opaque(pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """The channels of (H, W, C) without the last. Raises UserError if that is not opaque."""
    clear = float((pixels[..., -1] < OPAQUE).mean())
    if clear:
        raise UserError(
            f"{name} is transparent in {clear:.2%} of its pixels, which says of no class that it "
            "is there: save it without transparency"
        )
    return pixels[..., :-1]


def counted(pixels: Values) -> dict[int, int]:
    """How many pixels of a mask (H, W) have each value, sorted by value."""
    flat = pixels.ravel()  # in runs of one value, which leaves few to sort
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    values, places = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(places, np.diff(starts, append=flat.size))
    return dict(zip(values.tolist(), counts.astype(np.int64).tolist(), strict=True))
