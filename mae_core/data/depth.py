"""How many of their bits the deep images of a set use: 12-bit cameras write 16-bit files."""

import numpy as np

from mae_core.data.decode import JPEG, PillowImage, Unreadable, is_dicom
from mae_core.data.each import read_stored
from mae_core.data.picture import bits_used
from mae_core.data.sources.base import Source

LOOKED_AT = 16  # images, evenly spread


def depth_of(source: Source) -> int | None:
    """The bits of the brightest pixel in some images with more than 8 a channel; None without any.

    One range for a whole set keeps its dark images dark.
    """
    found: list[int] = []
    places = np.linspace(0, len(source) - 1, min(LOOKED_AT, len(source))).astype(int)
    for index in places.tolist():
        bits = bits_of(source, index)
        found += [bits] if bits else []
    return max(found, default=None)


def bits_of(source: Source, index: int) -> int | None:
    """The bits that an image uses, if it has more than 8 a channel and can be read."""
    try:
        data = read_stored(source, index)
        if not isinstance(data, bytes) or data.startswith(JPEG) or is_dicom(data):
            # They have 8 bits, or as many as their window shows.
            return None
        image = PillowImage(data, 3, source.name(index))
        return bits_used(image.deep()) if image.is_deep else None
    except (Unreadable, ValueError):
        return None  # is told where it is to be read
