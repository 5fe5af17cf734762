"""COCO annotation files: the one parser of them, and the normalised copy that all work with.

mmdet, faster-coco-eval and charts align categories by the file's order, by that of the ids, or by
that of the names, and take an annotation's id of 0 for none. In the copy all of these are the same.
"""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from downstream.dense.entries import (
    Entry,
    annotation_faults,
    crowded_images,
    empty_fault,
    id_faults,
    normalised,
    parse_categories,
    parse_images,
)
from downstream.dense.shapes import is_flat, is_mask, kind_of
from downstream.dense.values import plain, told, whole
from mae_core.errors import UserError

LISTS = ("images", "annotations", "categories")
FEW = 5  # faults of a refusal


@dataclass(frozen=True)
class Coco:
    """A COCO file's content, normalised: known fields only, each of its type.

    Attributes:
        images: entries with `id`, `file_name`, `height` and `width`, in the file's order.
        annotations: entries with `id` (places from 1), `image_id`, `category_id`, `bbox`, `area`,
            `iscrowd` and, where the file has masks, `segmentation`, in the file's order; `ignore`
            where it is 1.
        categories: names by id, sorted by id.
    """

    images: list[Entry]
    annotations: list[Entry]
    categories: dict[int, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the categories, in the order of their ids: a label is a place among them."""
        return tuple(self.categories.values())

    @property
    def has_masks(self) -> bool:
        """Whether there are masks, which then all annotations have; else boxes alone."""
        return any("segmentation" in entry for entry in self.annotations)

    def only(self, wanted: Callable[[str], bool]) -> "Coco":
        """The part with the images whose file names are wanted."""
        images = [image for image in self.images if wanted(image["file_name"])]
        ids = {image["id"] for image in images}
        annotations = [entry for entry in self.annotations if entry["image_id"] in ids]
        return replace(self, images=images, annotations=numbered(annotations))

    def as_json(self) -> dict[str, list[Entry]]:
        """What a COCO file holds; reading it gives the same again."""
        categories = [{"id": key, "name": name} for key, name in self.categories.items()]
        return {
            "images": self.images,
            "annotations": self.annotations,
            "categories": categories,
        }


@dataclass
class Parsed:
    """What a COCO file holds, and what is wrong with it.

    Attributes:
        content: the part without faults.
        faults: one line each.
        flat: of annotations that are in the content though no pixel is in them, one line each.
        kinds: annotations by kind of mask, see :func:`kind_of`.
        instances: annotations by category.
        empty: images without annotation.
    """

    content: Coco
    faults: list[str]
    flat: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    instances: Counter[str] = field(default_factory=Counter)
    empty: int = 0


def read_coco(path: Path, folder: Path | None = None) -> Coco:
    """The normalised copy of a file without faults.

    Args:
        path: of the JSON.
        folder: that has to have the images' files; None if they do not matter.

    Raises:
        UserError: if it is missing, is no COCO file or has faults; the first few are named.
    """
    parsed = parse_coco(path, folder)
    refuse(parsed.faults, path, folder)
    return parsed.content


def refuse(faults: Sequence[str], path: Path, folder: Path | None = None) -> None:
    """Raise UserError for the faults of a file, of which it names the first few."""
    if not faults:
        return
    first = "".join(f"\n  {fault}" for fault in faults[:FEW])
    command = ["mae-bench", "data", "check", plain(str(path))]
    if folder:
        command += ["--images", plain(str(folder))]
    raise UserError(
        f"{len(faults):,} fault(s) in {plain(str(path))}:{first}\n"
        f"`{shlex.join(command)}` lists all: mend them, or leave those entries out"
    )


def read_categories(path: Path) -> tuple[str, ...]:
    """Names of a file's categories in the order of their ids, whatever else it holds.

    Raises:
        UserError: if it is missing, is no COCO file or has faults in its categories.
    """
    categories, faults = parse_categories(read_lists(path)["categories"])
    refuse(faults, path)
    return tuple(categories.values())


def parse_coco(path: Path, folder: Path | None) -> Parsed:
    """Look at everything in a file; the images' files are looked for, but not opened.

    Raises:
        UserError: if it, a list of it or the folder is missing, or it is no JSON.
    """
    lists = read_lists(path)
    if folder is not None and not folder.is_dir():
        raise UserError(f"no folder {plain(str(folder))} with the images of {plain(str(path))}")
    categories, faults = parse_categories(lists["categories"])
    images = parse_images(lists["images"], folder)
    faults += [*images.faults, *id_faults("annotations", lists["annotations"])]
    parsed = Parsed(Coco(images.sound, [], categories), faults)
    masks = any(
        isinstance(e, dict) and is_mask(e.get("segmentation")) for e in lists["annotations"]
    )
    used = set()
    for place, entry in enumerate(lists["annotations"]):
        if not isinstance(entry, dict):
            faults.append(f"the annotation at place {place} is {told(entry)}: expected fields")
            continue
        key, category = whole(entry.get("image_id")), whole(entry.get("category_id"))
        used.add(key)
        parsed.kinds[kind_of(entry.get("segmentation"))] += 1
        parsed.instances[
            "unknown" if category is None else categories.get(category, "unknown")
        ] += 1
        add_annotation(parsed, entry, None if key is None else images.by_id.get(key), masks)
    parsed.content = replace(parsed.content, annotations=numbered(parsed.content.annotations))
    parsed.empty = len(images.by_id.keys() - used)
    faults += crowded_images(images.by_id, parsed.content.annotations)
    return parsed


def read_lists(path: Path) -> dict[str, list[Any]]:
    """The file's three lists, each of some entries of any kind.

    Raises:
        UserError: if the file or a list is missing, or it is no JSON.
    """
    if not path.is_file():
        raise UserError(f"no annotations at {plain(str(path))}: expected a COCO JSON file")
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{plain(str(path))} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{plain(str(path))} is no JSON: {plain(str(error))}") from error
    for key in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(f"{plain(str(path))} has no list '{key}': expected a COCO JSON file")
        if not content[key]:
            raise UserError(f"{plain(str(path))} has no '{key}': expected some in a COCO JSON file")
    return {key: content[key] for key in LISTS}


def add_annotation(parsed: Parsed, entry: Entry, image: Entry | None, masks: bool) -> None:
    """Add what an annotation is to the content, or what is wrong with it to the faults.

    Args:
        parsed: gets it.
        entry: as the file has it.
        image: that it is of, None if that is unknown.
        masks: whether the file has masks.
    """
    about = f"annotation {told(entry.get('id'))}: "
    wrong = list(annotation_faults(entry, image, parsed.content.categories, masks))
    if not wrong and image and image["height"]:
        found = normalised(entry, image)
        odd = empty_fault(found, image)
        if not odd or is_flat(found["bbox"], found.get("segmentation")):
            parsed.content.annotations.append(found)
            parsed.flat += [about + odd] if odd else []
            return
        wrong = [odd]
    parsed.faults += [about + fault for fault in wrong]


def numbered(annotations: Iterable[Entry]) -> list[Entry]:
    """The entries, each with its place counted from 1 as id."""
    return [{**entry, "id": place} for place, entry in enumerate(annotations, start=1)]
