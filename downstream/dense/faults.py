"""What is wrong with annotated images: every fault, not only the first."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as runs

from downstream.dense.coco import Entry, read_json
from mae_core.errors import UserError

LISTS = ("images", "annotations", "categories")
SLACK = 1.0  # pixels by which a box or a point may reach beyond the image
POLYGON = 6  # numbers of the smallest polygon


class Annotations(NamedTuple):
    """What a COCO file holds.

    Attributes:
        images: how many.
        empty: images without annotation.
        instances: how many of each category, by name.
        kinds: of segmentations: 'polygon', 'RLE', 'compressed RLE', 'none'.
        faults: one line each.
    """

    images: int
    empty: int
    instances: dict[str, int]
    kinds: dict[str, int]
    faults: list[str]


def check_annotations(path: Path, folder: Path) -> Annotations:
    """Look at everything in a COCO file, and whether its images are there.

    Args:
        path: of the JSON.
        folder: with the images.

    Raises:
        UserError: if it is no COCO file at all.
    """
    content = read_json(path)
    for key in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(f"{path} has no list '{key}': expected a COCO JSON file")
    images = {entry.get("id"): entry for entry in content["images"]}
    names = {entry.get("id"): str(entry.get("name")) for entry in content["categories"]}
    faults = [fault for key in LISTS for fault in _ids_twice(key, content[key])]
    for image in images.values():
        faults += _image_faults(image, folder)
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for entry in content["annotations"]:
        kinds[_kind(entry.get("segmentation"))] += 1
        counts[names.get(entry.get("category_id"), "unknown")] += 1
        faults += [
            f"annotation {entry.get('id')}: {fault}"
            for fault in _annotation_faults(entry, images, names)
        ]
    used = {entry.get("image_id") for entry in content["annotations"]}
    found = {name: counts[name] for name in names.values()}
    return Annotations(len(images), len(images.keys() - used), found, dict(kinds), faults)


def _ids_twice(key: str, entries: Iterable[Entry]) -> Iterator[str]:
    counts = Counter(entry.get("id") for entry in entries)
    for number, count in counts.items():
        if number is None:
            yield f"{key}: {count} without an id"
        elif count > 1:
            yield f"{key}: the id {number} occurs {count} times"


def _image_faults(image: Entry, folder: Path) -> Iterator[str]:
    path = folder / str(image.get("file_name"))
    if not path.is_file():
        yield f"image {image.get('id')}: no file at {path}"
        return
    try:
        with Image.open(path) as opened:
            size = opened.height, opened.width
    except OSError as error:
        yield f"{path} cannot be read as an image: {error}"
        return
    told = image.get("height"), image.get("width")
    if size != told:
        yield (f"{path} is {size[1]}×{size[0]} pixels, the annotations say {told[1]}×{told[0]}")


def _annotation_faults(
    entry: Entry, images: Mapping[Any, Entry], names: Mapping[Any, str]
) -> Iterator[str]:
    if entry.get("category_id") not in names:
        yield f"category {entry.get('category_id')} is unknown"
    image = images.get(entry.get("image_id"))
    if image is None:
        yield f"image {entry.get('image_id')} is unknown"
        return
    height, width = image.get("height"), image.get("width")
    if not isinstance(height, int) or not isinstance(width, int):
        yield f"image {image.get('id')} has no height and width"
        return
    yield from _box_faults(entry.get("bbox"), height, width)
    yield from _segmentation_faults(entry.get("segmentation"), height, width)


def _box_faults(box: Any, height: int, width: int) -> Iterator[str]:
    if not isinstance(box, list) or len(box) != 4 or not np.isfinite(box).all():
        yield f"its box is {box}: expected [left, top, width, height]"
        return
    left, top, wide, high = box
    if wide <= 0 or high <= 0:
        yield f"its box {box} is empty"
    elif min(left, top) < -SLACK or left + wide > width + SLACK or top + high > height + SLACK:
        yield f"its box {box} reaches out of the image of {width}×{height} pixels"


def _kind(segmentation: Any) -> str:
    if isinstance(segmentation, list) and segmentation:
        return "polygon"
    if isinstance(segmentation, dict):
        return "RLE" if isinstance(segmentation.get("counts"), list) else "compressed RLE"
    return "none"


def _segmentation_faults(segmentation: Any, height: int, width: int) -> Iterator[str]:
    kind = _kind(segmentation)
    if kind == "none":
        yield "it has no mask"
        return
    if kind == "polygon":
        odd = [part for part in segmentation if len(part) < POLYGON or len(part) % 2]
        if odd:
            yield f"a polygon has {len(odd[0])} numbers: expected x, y of three points or more"
            return
        points = np.concatenate([np.reshape(part, (-1, 2)) for part in segmentation])
        if (points < -SLACK).any() or (points > np.array([width, height]) + SLACK).any():
            yield f"its polygon reaches out of the image of {width}×{height} pixels"
    elif segmentation.get("size") != [height, width]:
        yield f"its mask is for {segmentation.get('size')}, the image is {[height, width]}"
        return
    elif kind == "RLE" and sum(segmentation["counts"]) != height * width:
        yield f"its mask's runs are {sum(segmentation['counts'])} pixels, not {height * width}"
        return
    if not _area(segmentation, kind, height, width):
        yield "its mask is empty"


def _area(segmentation: Any, kind: str, height: int, width: int) -> int:
    if kind == "compressed RLE":
        return int(runs.area(segmentation))
    encoded = runs.frPyObjects(segmentation, height, width)
    return int(np.sum(runs.area(encoded)))


def images_of(annotations: Path) -> Path:
    """The folder that a COCO file's images are likely in: `instances_val.json` has `val/`.

    It is looked for beside the file, and one folder higher, as in COCO.

    Raises:
        UserError: if neither is there.
    """
    name = annotations.stem.rpartition("_")[2]
    for folder in (annotations.parent / name, annotations.parent.parent / name):
        if folder.is_dir():
            return folder
    raise UserError(f"where are the images of {annotations}? Name their folder by --images")
