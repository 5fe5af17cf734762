from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon, box

from downstream.dense.convert.found import Object
from downstream.dense.convert.mend import Dropped, clipped, entry_of

IMAGE = {"id": 7, "file_name": "a.png", "height": 20, "width": 30}
POINTS = st.tuples(st.floats(-60, 90), st.floats(-60, 90))


def entry(boxes: bool = False, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    """The annotation, and what was mended."""
    thing = Object("object 1", "cat", **fields)
    return entry_of(thing, IMAGE, 3, boxes), thing.mended


def test_what_fits_stays_as_it_is() -> None:
    found, mended = entry(box=[0.25, 1, 29.75, 19])
    assert found == {
        "id": 0,
        "image_id": 7,
        "category_id": 3,
        "bbox": [0.25, 1, 29.75, 19],
        "area": 29.75 * 19,
        "iscrowd": 0,
    }
    assert mended == []


def test_a_hundredth_of_a_pixel_is_rounding() -> None:
    found, mended = entry(box=[-0.004, 0, 30.008, 20])
    assert found["bbox"] == [-0.004, 0, 30.008, 20] and not mended


def test_a_box_is_clipped_and_that_is_said() -> None:
    found, mended = entry(box=[-2, 5, 12, 100], area=1200)
    assert found["bbox"] == [0, 5, 10, 15] and found["area"] == 150
    assert mended == ["its box reached 85 pixels out of 30×20: clipped"]


@pytest.mark.parametrize("outside", [[30, 0, 5, 5], [-9, 0, 9, 5], [2, 2, 0, 5], [50, 50, 1, 1]])
def test_a_box_without_area_in_the_image_is_dropped(outside: list[float]) -> None:
    with pytest.raises(Dropped, match="no area is left of its box in the image of 30×20"):
        entry(box=outside)


def test_a_polygon_is_clipped_and_that_is_said() -> None:
    found, mended = entry(mask=[[-10, 5, 10, 5, 10, 15, -10, 15]])
    assert found["bbox"] == [0, 5, 10, 10] and found["area"] == 100
    assert mended == ["its polygon reached 10 pixels out of 30×20: clipped"]


def test_parts_of_a_mask_without_area_are_said() -> None:
    square = [1, 1, 9, 1, 9, 9]
    found, mended = entry(mask=[square, [1, 1, 2, 2], [40, 1, 50, 1, 50, 9]])
    assert found["segmentation"] == [square]
    assert mended[-1] == "2 of its 3 polygons have no area"


@pytest.mark.parametrize(
    "mask, words",
    [
        ([[40, 1, 50, 1, 50, 9]], "no area is left of its polygon"),
        ([[1, 1, 5, 5]], "no area is left of its polygon"),
        ([[5.1, 5.1, 5.2, 5.1, 5.2, 5.2]], "no area is left: its mask is empty"),
        ({"size": [5, 5], "counts": [0, 25]}, "its mask is for .5, 5., the image is .20, 30."),
        ({"size": [20, 30], "counts": [600]}, "no area is left: its box .* is empty"),
        ({"size": [20, 30]}, "its mask's counts are None"),
    ],
)
def test_a_mask_without_a_pixel_is_dropped(mask: Any, words: str) -> None:
    with pytest.raises(Dropped, match=words):
        entry(mask=mask)


def test_boxes_alone_are_those_around_masks() -> None:
    found, _ = entry(boxes=True, mask=[[2, 3, 12, 3, 12, 8]], area=25)
    assert found["bbox"] == [2, 3, 10, 5] and found["area"] == 50
    assert "segmentation" not in found
    counts = [20 * 4 + 5, 3, 520 - 8]
    found, _ = entry(boxes=True, mask={"size": [20, 30], "counts": counts})
    assert found["bbox"] == [4, 5, 1, 3]


def test_an_area_that_is_none_is_computed_and_that_is_said() -> None:
    for odd in (-3, 0, "a", float("nan"), 10**9):
        found, mended = entry(box=[1, 2, 3, 4], area=odd)
        assert found["area"] == 12 and len(mended) == 1 and "it was computed" in mended[0]


def test_crowds_and_what_is_ignored_stay_so() -> None:
    found, _ = entry(box=[1, 2, 3, 4], crowd=True, ignore=True)
    assert found["iscrowd"] == 1 and found["ignore"] == 1


@settings(max_examples=100, deadline=None)
@given(points=st.lists(POINTS, min_size=3, max_size=12))
def test_clipping_keeps_the_area_that_shapely_finds(points: list[tuple[float, float]]) -> None:
    """Of simple polygons: their points are sorted by angle about the middle."""
    middle = np.mean(points, axis=0)
    turn = np.arctan2(*(np.array(points) - middle).T)
    ordered = [points[place] for place in np.argsort(turn)]
    shape = Polygon(ordered)
    if not shape.is_valid:
        return
    part = clipped([value for point in ordered for value in point], (20, 30))
    expected = shape.intersection(box(0, 0, 30, 20)).area
    across, down = np.array(part[::2]), np.array(part[1::2])
    area = abs(np.dot(across, np.roll(down, 1)) - np.dot(down, np.roll(across, 1))) / 2
    assert area == pytest.approx(expected, abs=1e-6)
    assert not part or (across.min() >= 0 and across.max() <= 30)
    assert not part or (down.min() >= 0 and down.max() <= 20)
