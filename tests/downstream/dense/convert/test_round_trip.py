"""COCO, written in a format by a plain writer, and converted back, is what it was."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as runs

from downstream.dense.coco import parse_coco
from downstream.dense.shapes import drawn
from mae_core.data.sources.base import natural
from tests.downstream.dense.convert.sources import IMAGES, WRITERS, Json, converted, write_images

NAMES = st.text("aB9é漢<&>'\" ", min_size=1, max_size=6).map(str.strip).filter(bool)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def numbers(top: float, whole: bool) -> st.SearchStrategy[Any]:
    return st.integers(0, int(top)) if whole else st.floats(0, top, allow_subnormal=False)


@st.composite
def boxes(draw: st.DrawFn, size: tuple[int, int], whole: bool) -> Json:
    """A box of a tenth of a pixel or more."""
    sides = []
    for length in (size[1], size[0]):
        start, end = sorted(draw(numbers(length, whole)) for _ in range(2))
        end = max(end, start + (1 if whole else 0.1))
        sides.append((start, min(end, length)) if start < length else (length - 1, length))
    (left, right), (top, bottom) = sides
    box = [left, top, right - left, bottom - top]
    return {"bbox": box, "area": box[2] * box[3], "iscrowd": 0}


@st.composite
def polygons(draw: st.DrawFn, size: tuple[int, int], most: int) -> Json:
    """One to `most` polygons with pixels in them."""
    points = st.tuples(numbers(size[1], False), numbers(size[0], False))
    parts = st.lists(st.lists(points, min_size=3, max_size=6), min_size=1, max_size=most)
    mask = [[value for point in part for value in point] for part in draw(parts)]
    area = int(runs.area(drawn(mask, *size)))
    if not area:
        mask = [[0.0, 0.0, 9.5, 0.0, 9.5, 9.5, 0.0, 9.5]]
        area = int(runs.area(drawn(mask, *size)))
    across, down = np.concatenate([np.reshape(part, (-1, 2)) for part in mask]).T
    box = [across.min(), down.min(), np.ptp(across), np.ptp(down)]
    return {"bbox": list(map(float, box)), "area": area, "iscrowd": 0, "segmentation": mask}


@st.composite
def contents(draw: st.DrawFn, kind: str) -> Json:
    """Images with any number of objects, and classes that all have some, in natural order."""
    names = sorted(draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)), key=natural)
    masked = kind != "voc" and draw(st.booleans())
    annotations = []
    for place in range(draw(st.integers(len(names), 8))):
        key = draw(st.integers(1, len(IMAGES)))
        size = list(IMAGES.values())[key - 1]
        parts = 1 if kind == "yolo" else 3
        shape = draw(polygons(size, parts) if masked else boxes(size, kind == "voc"))
        about = {"id": place + 1, "image_id": key, "category_id": place % len(names) + 1}
        annotations.append({**about, **shape})
    images = [
        {"id": place, "file_name": name, "height": size[0], "width": size[1]}
        for place, (name, size) in enumerate(IMAGES.items(), start=1)
    ]
    categories = [{"id": place, "name": name} for place, name in enumerate(names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def ordered(content: Json) -> Json:
    """With the annotations of each image together, and numbered so, as they are converted."""
    entries = sorted(content["annotations"], key=lambda entry: entry["image_id"])
    entries = [{**entry, "id": place} for place, entry in enumerate(entries, start=1)]
    return {**content, "annotations": entries}


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nothing_is_lost_on_the_way(
    kind: str, images: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = data.draw(contents(kind))
    folder = tmp_path_factory.mktemp("source")
    WRITERS[kind](content, folder / "source")
    done = converted(kind, folder / "source", images, folder / "out.json")
    assert not done.dropped and not done.sizes and not done.left_out
    assert all("are one object" in line for line in done.mended)
    parsed = parse_coco(folder / "out.json", images)
    assert not parsed.faults and not parsed.flat
    compare(parsed.content.as_json(), ordered(content), exact=kind in ("voc", "coco"))
    shutil.rmtree(folder)


def compare(found: Json, expected: Json, exact: bool) -> None:
    assert found["images"] == expected["images"]
    assert found["categories"] == expected["categories"]
    if exact:
        assert found["annotations"] == expected["annotations"]
    for one, other in zip(found["annotations"], expected["annotations"], strict=True):
        for key in ("id", "image_id", "category_id", "iscrowd"):
            assert one[key] == other[key]
        assert np.allclose(one["bbox"], other["bbox"], rtol=0, atol=1e-6)
        assert ("segmentation" in one) == ("segmentation" in other)
        parts = zip(one.get("segmentation", []), other.get("segmentation", []), strict=True)
        assert all(np.allclose(a, b, rtol=0, atol=1e-6) for a, b in parts)
