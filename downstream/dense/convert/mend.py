"""Objects made to fit into their images: clipped, or dropped, and never without a reason."""

from collections.abc import Sequence

from downstream.dense.convert.found import Object
from downstream.dense.entries import Entry, box_of, empty_fault, normalised
from downstream.dense.shapes import POLYGON, area_faults, mask_faults
from mae_core.data.decode import Size

ROUNDING = 0.01  # pixels out of the image that come of a text's digits: left as they are
Point = tuple[float, float]


class Dropped(Exception):
    """Nothing of an object can be taken: the message says why."""


def entry_of(thing: Object, image: Entry, category: int, boxes: bool) -> Entry:
    """The annotation of an object, in its image; what is changed is added to its `mended`.

    Args:
        thing: in pixels.
        image: of the COCO file.
        category: its id.
        boxes: whether only its box is wanted.

    Raises:
        Dropped: if nothing of it is in the image, or its mask is none.
    """
    size = image["height"], image["width"]
    entry: Entry = {"category_id": category, "iscrowd": thing.crowd, "ignore": thing.ignore}
    if thing.mask:
        entry["segmentation"] = fit_mask(thing, size)
    if thing.box:
        entry["bbox"] = fit_box(thing, thing.box, size)
    if boxes and thing.mask:
        entry.setdefault("bbox", box_of(entry["segmentation"], *size))
        del entry["segmentation"]
    elif thing.area is not None and not thing.mended:  # else it follows
        wrong = next(area_faults(thing.area, *size), "" if thing.area else "its area is 0")
        if wrong:
            thing.mended.append(f"{wrong}: it was computed")
        else:
            entry["area"] = thing.area
    found = normalised(entry, image)
    if odd := empty_fault(found, image):
        raise Dropped(f"no area is left: {odd}")
    return found


def fit_box(thing: Object, box: list[float], size: Size) -> list[float]:
    """[left, top, width, height] within the image. Raises Dropped if nothing is left."""
    left, top, wide, high = box
    right, bottom = left + wide, top + high
    beyond = reach([left, right], [top, bottom], size)
    if beyond > ROUNDING:
        left, right = (min(max(x, 0), size[1]) for x in (left, right))
        top, bottom = (min(max(y, 0), size[0]) for y in (top, bottom))
        thing.mended.append(clipped_by(beyond, "box", size))
        box = [left, top, right - left, bottom - top]
    if min(box[2:]) <= 0:
        raise Dropped(f"no area is left of its box in the image of {size[1]}×{size[0]} pixels")
    return box


def fit_mask(thing: Object, size: Size) -> object:
    """Polygons within the image, or the runs of one of its size. Raises Dropped."""
    mask = thing.mask
    if isinstance(mask, list):
        beyond = max((reach(part[::2], part[1::2], size) for part in mask if part), default=0)
        parts = [part for part in mask if len(part) >= POLYGON]
        if beyond > ROUNDING:
            parts = [clipped(part, size) for part in parts]
            parts = [part for part in parts if len(part) >= POLYGON]
            thing.mended.append(clipped_by(beyond, "polygon", size))
        if not parts:
            raise Dropped(f"no area is left of its polygon in {size[1]}×{size[0]} pixels")
        if len(parts) < len(mask):
            thing.mended.append(
                f"{len(mask) - len(parts)} of its {len(mask)} polygons have no area"
            )
        mask = parts
    if fault := next(mask_faults(mask, *size), ""):
        raise Dropped(fault)
    return mask


def reach(across: Sequence[float], down: Sequence[float], size: Size) -> float:
    """Pixels by which x and y of points go beyond the image; below 0 within."""
    height, width = size
    return max(-min(across), -min(down), max(across) - width, max(down) - height)


def clipped_by(beyond: float, what: str, size: Size) -> str:
    """What to say of a clipped box or polygon."""
    return f"its {what} reached {beyond:.6g} pixels out of {size[1]}×{size[0]}: clipped"


def clipped(part: Sequence[float], size: Size) -> list[float]:
    """What of a polygon x, y, x, y, ... is in the image, [] for nothing.

    By Sutherland and Hodgman (1974), edge after edge of the image: it takes any polygon, where
    shapely refuses those that cross themselves. Pieces stay joined along the image's edges.
    """
    points: list[Point] = list(zip(part[::2], part[1::2], strict=True))
    height, width = size
    for axis, limit, sign in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        points = cut(points, axis, limit, sign)
    return [value for point in points for value in point]


def cut(points: list[Point], axis: int, limit: float, sign: int) -> list[Point]:
    """What of a polygon is on one side of a line: where x or y, times the sign, is above."""
    kept: list[Point] = []
    for place, point in enumerate(points):
        before = points[place - 1]
        is_in = sign * (point[axis] - limit) >= 0
        if is_in != (sign * (before[axis] - limit) >= 0):
            share = (limit - before[axis]) / (point[axis] - before[axis])
            other = before[1 - axis] + share * (point[1 - axis] - before[1 - axis])
            kept.append((limit, other) if axis == 0 else (other, limit))
        if is_in:
            kept.append(point)
    return kept
