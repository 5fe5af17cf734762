"""COCO's own format, read so that it need not be sound: what can be mended is."""

from pathlib import Path
from typing import Any

from downstream.dense.coco import read_lists, refuse
from downstream.dense.convert.found import Annotated, Broken, Found, Object, number, stated_size
from downstream.dense.entries import id_faults, parse_categories
from downstream.dense.shapes import is_mask
from downstream.dense.values import is_name, plain, told, whole

BOX = 4  # numbers


def categories_of(path: Path) -> dict[int, str]:
    """Names by id of a file's categories.

    Raises:
        UserError: if it is missing, is no COCO file or has faults in its categories.
    """
    categories, faults = parse_categories(read_lists(path)["categories"])
    refuse(faults, path)
    return categories


def read_coco_file(path: Path) -> Found:
    """What a file holds; of its fields those that :class:`Object` has.

    Raises:
        UserError: if it is missing, is no COCO file or its categories have faults.
    """
    lists = read_lists(path)
    categories, faults = parse_categories(lists["categories"])
    refuse(faults, path)
    found = Found(categories=categories, lists_images=True)
    found.broken += [
        f"{plain(path.name)}: {fault}" for fault in id_faults("images", lists["images"])
    ]
    by_id: dict[int | None, Annotated] = {}
    for place, entry in enumerate(lists["images"]):
        with found.noting(path.name):
            image = read_image(entry, f"the image at place {place}", path.name)
            found.annotated.append(image)
            by_id[whole(entry.get("id"))] = image
    for place, entry in enumerate(lists["annotations"]):
        with found.noting(path.name):
            thing = read_annotation(entry, f"the annotation at place {place}", categories)
            found.left_out["keypoints of an object"] += bool(entry.get("keypoints"))
            if of := by_id.get(whole(entry.get("image_id"))):
                of.objects.append(thing)
            else:
                unknown = f"its image {told(entry.get('image_id'))} is unknown"
                found.dropped.append(f"{plain(path.name)}: {thing.where}: {unknown}")
    return found


def read_image(entry: Any, where: str, file: str) -> Annotated:
    """One of the images, without objects. Raises Broken if it has no name."""
    if not isinstance(entry, dict) or not is_name(entry.get("file_name")):
        raise Broken(f"has no file_name in {where}: {told(entry)}")
    path = entry["file_name"].replace("\\", "/")
    size = stated_size(entry.get("height"), entry.get("width"))
    return Annotated(f"{plain(file)}: {told(path)}", [], path=path, size=size)


def read_annotation(entry: Any, where: str, categories: dict[int, str]) -> Object:
    """One of the annotations. Raises Broken if it has no place in an image."""
    if not isinstance(entry, dict):
        raise Broken(f"has {told(entry)} as {where}: expected fields")
    key, category = entry.get("id"), entry.get("category_id")
    where = where if key is None else f"annotation {told(key)}"
    label = categories.get(whole(category) or 0, "") if whole(category) is not None else ""
    thing = Object(where if label else f"{where}, category {told(category)}", label)
    thing.crowd, thing.ignore = (flag(entry, name, where) for name in ("iscrowd", "ignore"))
    thing.area = entry.get("area")
    if is_mask(entry.get("segmentation")):
        thing.mask = read_mask(entry["segmentation"], where)
    box = entry.get("bbox")
    if box is None and thing.mask:
        return thing
    if not isinstance(box, list) or len(box) != BOX:
        raise Broken(f"has {told(box)} as box of {where}: expected [left, top, width, height]")
    thing.box = [number(side, f"a side of the box of {where}") for side in box]
    if min(thing.box[2:]) < 0:
        raise Broken(f"has {told(box)} as box of {where}: expected a width and a height above 0")
    return thing


def flag(entry: dict[str, Any], name: str, where: str) -> bool:
    """A field that is 0, 1 or missing. Raises Broken for other values."""
    value = entry.get(name, 0)
    if not isinstance(value, bool) and whole(value) not in (0, 1):
        raise Broken(f"has {told(value)} as {name} of {where}: expected 0 or 1")
    return bool(value)


def read_mask(mask: Any, where: str) -> Any:
    """Polygons of numbers, or runs as they are. Raises Broken for polygons of anything else."""
    if isinstance(mask, dict):
        return mask
    parts = []
    for part in mask:
        if not isinstance(part, list) or len(part) % 2:
            raise Broken(f"has {told(part)} as a polygon of {where}: expected [x, y, x, y, ...]")
        parts.append([number(value, f"a point of {where}") for value in part])
    return parts
