"""Entries of COCO files, parsed one by one: their known fields, or what is wrong with them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pycocotools import mask as runs

from downstream.dense.shapes import (
    area_faults,
    box_faults,
    corners,
    drawn,
    is_mask,
    kind_of,
    mask_faults,
)
from downstream.dense.values import is_name, plain, told, whole
from mae_core.data.decode import MAX_PIXELS

Entry = dict[str, Any]
MASK_BYTES = 1 << 33  # of one image's instances, which mmdet draws all at once


def id_faults(key: str, entries: Iterable[Any]) -> Iterator[str]:
    """Ids that are none or several entries', in the list `key`."""
    values = [entry.get("id") for entry in entries if isinstance(entry, dict)]
    missing = sum(value is None for value in values)
    if missing:
        yield f"{key}: {missing} without an id"
    for value in values:
        if value is not None and whole(value) is None:
            yield f"{key}: the id {told(value)} is no whole number"
    yield from twice(key, "id", map(whole, values))


def twice(key: str, what: str, values: Iterable[Any]) -> Iterator[str]:
    """Values that occur more than once in the list `key`."""
    for value, count in Counter(values).items():
        if value is not None and count > 1:
            yield f"{key}: the {what} {told(value)} occurs {count} times"


def parse_categories(entries: Sequence[Any]) -> tuple[dict[int, str], list[str]]:
    """Names by id, sorted by id, of the entries that can be used; and what is wrong."""
    faults = list(id_faults("categories", entries))
    found: dict[int, str] = {}
    names = []
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            faults.append(f"the category at place {place} is {told(entry)}: expected fields")
            continue
        key, name = whole(entry.get("id")), entry.get("name")
        if not is_name(name):
            faults.append(f"category {told(entry.get('id'))}: its name is {told(name)}")
            name = told(name)
        names.append(name)
        if key is not None:
            found.setdefault(key, str(name))
    return dict(sorted(found.items())), [*faults, *twice("categories", "name", names)]


class Images(NamedTuple):
    """The images of a file.

    Attributes:
        by_id: in the file's order, with `height` and `width` 0 where they are not known.
        sound: those without faults.
        faults: of the others, one line each.
    """

    by_id: dict[int, Entry]
    sound: list[Entry]
    faults: list[str]


def parse_images(entries: Sequence[Any], folder: Path | None) -> Images:
    """Known fields of the images, whose files are looked for if there is a folder."""
    found = Images({}, [], list(id_faults("images", entries)))
    names = []
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            found.faults.append(f"the image at place {place} is {told(entry)}: expected fields")
            continue
        key, name = whole(entry.get("id")), entry.get("file_name")
        height, width = (whole(entry.get(side)) or 0 for side in ("height", "width"))
        odd = [*file_faults(name, folder), *size_faults(entry, height, width)]
        found.faults.extend(f"image {told(entry.get('id'))}{fault}" for fault in odd)
        names += [name] if is_name(name) else []
        if key is None or key in found.by_id:
            continue
        if list(size_faults(entry, height, width)):
            height, width = 0, 0
        image = {"id": key, "file_name": name, "height": height, "width": width}
        found.by_id[key] = image
        if not odd:
            found.sound.append(image)
    found.faults.extend(twice("images", "file_name", names))
    return found


def file_faults(name: Any, folder: Path | None) -> Iterator[str]:
    """What is wrong with an image's file name, or that no such file is below the folder."""
    if not is_name(name):
        yield f": its file_name is {told(name)}"
    elif folder is not None:
        path = folder / name
        # Not by where the path ends up: links below the folder are the user's, who may follow them,
        # and '..' after one leads beside what it points to.
        if ".." in Path(name).parts or Path(name).is_absolute():
            yield (
                f": {told(name)} may lie outside of {plain(str(folder))}, the images' folder: "
                "expected a path below it, without '..'"
            )
        elif not path.is_file():
            yield f": no file at {plain(str(path))}"


def size_faults(entry: Entry, height: int, width: int) -> Iterator[str]:
    """What is wrong with an image's sides, 0 for what is no whole number."""
    if min(height, width) < 1:
        found = f"{told(entry.get('height'))} and {told(entry.get('width'))}"
        yield f" has no height and width: found {found}"
    elif height * width > MAX_PIXELS:
        yield f" has {height * width:,} pixels: at most {MAX_PIXELS:,} are read"


def annotation_faults(
    entry: Entry, image: Entry | None, categories: Mapping[int, str], masks: bool
) -> Iterator[str]:
    """What is wrong with an annotation's fields; without any its mask can be drawn.

    Args:
        entry: as the file has it.
        image: that it is of, None if that is unknown.
        categories: names by id.
        masks: whether the file has masks; without any each annotation needs a box.
    """
    if whole(entry.get("category_id")) not in categories:
        yield f"category {told(entry.get('category_id'))} is unknown"
    for key in ("iscrowd", "ignore"):
        value = entry.get(key, 0)
        if not isinstance(value, bool) and whole(value) not in (0, 1):
            yield f"its {key} is {told(value)}: expected 0 or 1"
    if image is None:
        yield f"image {told(entry.get('image_id'))} is unknown"
        return
    size = image["height"], image["width"]
    if not all(size):
        return  # a fault of the image
    if "bbox" in entry:
        yield from box_faults(entry["bbox"], *size)
    if "area" in entry:
        yield from area_faults(entry["area"], *size)
    if masks:
        yield from mask_faults(entry.get("segmentation"), *size)
        return
    if entry.get("segmentation") and kind_of(entry["segmentation"]) == "none":
        yield f"its segmentation is {told(entry['segmentation'])}: expected polygons, runs or none"
    if "bbox" not in entry:
        yield "it has neither box nor mask"


def normalised(entry: Entry, image: Entry) -> Entry:
    """An annotation's known fields; a box and an area that it lacks are those of its mask.

    Without a mask there is no `segmentation`, and the area is that of the box.
    """
    height, width = image["height"], image["width"]
    mask = entry["segmentation"] if is_mask(entry.get("segmentation")) else None
    if isinstance(mask, dict):
        mask = {"size": [height, width], "counts": mask["counts"]}
    box = entry["bbox"] if "bbox" in entry else box_of(mask, height, width)
    if "area" in entry:
        area = entry["area"]
    else:
        area = int(runs.area(drawn(mask, height, width))) if mask else box[2] * box[3]
    found = {
        "id": 0,
        "image_id": image["id"],
        "category_id": whole(entry["category_id"]),
        "bbox": box,
        "area": area,
        "iscrowd": int(entry.get("iscrowd", 0)),
    }
    if mask:
        found["segmentation"] = mask
    return found | ({"ignore": 1} if entry.get("ignore") else {})


def box_of(mask: Any, height: int, width: int) -> list[float]:
    """[left, top, width, height] of a mask: of a polygon's corners, or of the pixels of runs."""
    if kind_of(mask) != "polygon":
        return [float(side) for side in runs.toBbox(drawn(mask, height, width))]
    left, top, right, bottom = corners(mask)
    return [left, top, right - left, bottom - top]


def empty_fault(entry: Entry, image: Entry) -> str:
    """That a normalised annotation has no pixel, or says so, or nothing."""
    if min(entry["bbox"][2:]) == 0:
        return f"its box {told(entry['bbox'])} is empty"
    if "segmentation" not in entry:
        return "" if entry["area"] else "its area is 0, its box is not"
    pixels = int(runs.area(drawn(entry["segmentation"], image["height"], image["width"])))
    if not pixels:
        return "its mask is empty"
    if not entry["area"]:
        return f"its area is 0, its mask has {pixels:,} pixels"
    return ""


def crowded_images(images: Mapping[int, Entry], annotations: Iterable[Entry]) -> Iterator[str]:
    """Images whose masks together take more memory than they may."""
    masked = (entry["image_id"] for entry in annotations if "segmentation" in entry)
    for key, count in Counter(masked).items():
        height, width = images[key]["height"], images[key]["width"]
        if count * height * width > MASK_BYTES:
            yield (
                f"image {key} has {count:,} masks of {width}×{height} pixels, more than "
                f"{MASK_BYTES >> 30} GiB: cut it into smaller ones"
            )
