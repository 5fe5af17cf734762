"""COCO annotation files, read and checked for what training needs."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mae_core.errors import UserError

Entry = dict[str, Any]


@dataclass(frozen=True)
class Coco:
    """A COCO file's content.

    Attributes:
        images: entries with `id`, `file_name`, `height` and `width`.
        annotations: entries with `image_id`, `category_id`, `bbox` and `segmentation`.
        categories: names by id, sorted by id.
    """

    images: list[Entry]
    annotations: list[Entry]
    categories: dict[int, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the categories, in the order of their ids: a label is a place among them."""
        return tuple(self.categories.values())

    def only(self, wanted: Callable[[str], bool]) -> "Coco":
        """The part with the images whose file names are wanted."""
        images = [image for image in self.images if wanted(image["file_name"])]
        ids = {image["id"] for image in images}
        annotations = [entry for entry in self.annotations if entry["image_id"] in ids]
        return replace(self, images=images, annotations=annotations)

    def as_json(self) -> dict[str, list[Entry]]:
        """What a COCO file holds."""
        categories = [{"id": key, "name": name} for key, name in self.categories.items()]
        return {
            "images": self.images,
            "annotations": self.annotations,
            "categories": categories,
        }


def read_coco(path: Path) -> Coco:
    """Read a file, its three lists present and not empty.

    Raises:
        UserError: if it is missing, is no JSON or lacks a list.
    """
    content = read_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not content.get(key):
            raise UserError(f"{path} has no '{key}': expected a COCO JSON file with some")
    categories = {entry["id"]: entry["name"] for entry in content["categories"]}
    return Coco(content["images"], content["annotations"], dict(sorted(categories.items())))


def read_json(path: Path) -> Any:
    """A file's content. Raises UserError if it is missing or is no JSON."""
    if not path.is_file():
        raise UserError(f"no annotations at {path}: expected a COCO JSON file")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}") from error
