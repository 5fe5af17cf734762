"""Boxes and masks of COCO annotations, checked before anything computes with them.

What a file says is compared as Python's numbers first, and drawn only within bounds: pycocotools
takes memory by a polygon's length, and reads compressed runs beyond their end.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as runs

from downstream.dense.values import is_number, told, whole

SLACK = 1.0  # pixels by which a box or a point may reach beyond the image
POLYGON = 6  # numbers of the smallest polygon
OUTLINE = 1 << 20  # pixels of the longest outline that is drawn; it takes 100 bytes each
CODE, MORE, NEGATIVE, BITS = 48, 32, 16, 5  # COCO's text of runs: 5 bits a letter from "0" on
LETTERS = 7  # of one number, enough for 2**34


def kind_of(segmentation: Any) -> str:
    """'polygon', 'RLE', 'compressed RLE', or 'none' for anything else."""
    if isinstance(segmentation, list) and segmentation:
        return "polygon"
    if isinstance(segmentation, dict):
        return "compressed RLE" if isinstance(segmentation.get("counts"), str) else "RLE"
    return "none"


def is_mask(segmentation: Any) -> bool:
    """Whether a segmentation says anything, right or wrong: an empty one stands for none."""
    if isinstance(segmentation, list):
        return any(part != [] for part in segmentation)
    if isinstance(segmentation, dict):
        return bool(segmentation.get("counts", True))
    return False


def box_faults(box: Any, height: int, width: int) -> Iterator[str]:
    """What is wrong with a box [left, top, width, height] in an image of that size."""
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        yield f"its box is {told(box)}: expected [left, top, width, height]"
        return
    left, top, wide, high = box
    if min(wide, high) < 0:
        yield f"its box {told(box)} is empty"
    elif min(left, top) < -SLACK or left + wide > width + SLACK or top + high > height + SLACK:
        yield f"its box {told(box)} reaches out of the image of {width}×{height} pixels"


def area_faults(area: Any, height: int, width: int) -> Iterator[str]:
    """What is wrong with an area in an image of that size."""
    if not is_number(area) or area < 0:
        yield f"its area is {told(area)}: expected pixels; without one it follows"
    elif area > (height + 2 * SLACK) * (width + 2 * SLACK):
        yield f"its area {told(area)} is more than the image of {width}×{height} pixels"


def mask_faults(segmentation: Any, height: int, width: int) -> Iterator[str]:
    """What is wrong with a mask in an image of that size; without any it can be drawn."""
    kind = kind_of(segmentation)
    if kind == "none":
        odd = f": its segmentation is {told(segmentation)}" if segmentation else ""
        yield (
            f"it has no mask{odd}: expected polygons or runs, as others of the file have. To learn "
            "boxes alone, take out all of 'segmentation'"
        )
    elif kind == "polygon":
        yield from _polygon_faults(segmentation, height, width)
    else:
        yield from _run_faults(segmentation, height, width)


def _polygon_faults(parts: list[Any], height: int, width: int) -> Iterator[str]:
    for part in parts:
        if not isinstance(part, list):
            yield f"a polygon is {told(part)}: expected a list [x, y, x, y, ...] for each part"
            return
        if len(part) < POLYGON or len(part) % 2:
            yield f"a polygon has {len(part)} numbers: expected x, y of three points or more"
            return
        odd = [value for value in part if not is_number(value)]
        if odd:
            yield f"a polygon holds {told(odd[0])}: expected numbers"
            return
    for part in parts:
        for values, size in ((part[::2], width), (part[1::2], height)):
            if min(values) < -SLACK or max(values) > size + SLACK:
                yield f"its polygon reaches out of the image of {width}×{height} pixels"
                return
    length = sum(outline(part) for part in parts)
    if length > OUTLINE:
        yield f"its polygon's outline is {length:,.0f} pixels long, at most {OUTLINE:,} are drawn"


def outline(part: list[float]) -> float:
    """Pixels on the outline of a closed polygon x, y, x, y, ..."""
    points = np.reshape(np.array(part, dtype=np.float64), (-1, 2))
    steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
    return float(steps.sum())


def _run_faults(segmentation: dict[str, Any], height: int, width: int) -> Iterator[str]:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or [whole(side) for side in size] != [height, width]:
        yield f"its mask is for {told(size)}, the image is {[height, width]}"
        return
    lengths = decode_runs(counts) if isinstance(counts, str) else counts
    # Not one comprehension over `whole`: there are many runs, and few fractions.
    if not isinstance(lengths, list) or not all(type(n) is int and n >= 0 for n in lengths):
        yield f"its mask's counts are {told(counts)}: expected runs of pixels"
    elif sum(lengths) != height * width:
        yield f"its mask's runs are {told(sum(lengths))} pixels, not {height * width}"


def decode_runs(text: str) -> list[int] | None:
    """The runs' lengths that COCO's compressed text holds; None if it is no such text.

    Each number is a few letters of 5 bits, the lowest first; from the fourth on it is the
    difference to the number two before it (pycocotools' `rleFrString`).
    """
    try:
        codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64) - CODE
    except UnicodeEncodeError:
        return None
    if not codes.size or codes.min() < 0 or codes.max() >= 2 * MORE or codes[-1] & MORE:
        return None
    ends = np.flatnonzero(codes & MORE == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    letters = ends - starts + 1
    if letters.max() > LETTERS:
        return None
    places = np.arange(codes.size) - np.repeat(starts, letters)
    values = np.add.reduceat((codes & (MORE - 1)) << (BITS * places), starts)
    values -= np.where(codes[ends] & NEGATIVE, np.int64(1) << (BITS * letters), 0)
    return _summed(values).tolist()


def _summed(values: NDArray[np.int64]) -> NDArray[np.int64]:
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values


def drawn(segmentation: Any, height: int, width: int) -> Any:
    """A mask without faults as pycocotools' compressed runs."""
    kind = kind_of(segmentation)
    if kind == "compressed RLE":
        return segmentation
    encoded = runs.frPyObjects(segmentation, height, width)
    return runs.merge(encoded) if kind == "polygon" else encoded


def corners(segmentation: Any) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of polygons without faults."""
    points = np.concatenate([np.reshape(part, (-1, 2)) for part in segmentation])
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom


def is_flat(box: list[float], segmentation: Any) -> bool:
    """Whether polygons without a pixel are just as thin as the box says.

    COCO itself has some that are, of a height of 0 or between two rows of pixels. Without a mask
    (None) the box alone says it.
    """
    if segmentation is None:
        return min(box[2:]) == 0
    if kind_of(segmentation) != "polygon":
        return False
    left, top, wide, high = box
    sides = zip(corners(segmentation), (left, top, left + wide, top + high), strict=True)
    return all(abs(one - other) <= SLACK for one, other in sides)
