"""A folder with images, COCO annotations and semantic masks, checked before training.

Layout: `{train,val}/` images, `instances_{train,val}.json`, `{train,val}_masks/*.png` with class
ids as pixel values, 0 for background.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mae_core.data.roots import resolve_root
from mae_core.errors import UserError

SPLITS = ("train", "val")
IGNORED = 255  # pixel value without a class
CHECKED = 100  # masks whose values are looked at before training


def instance_classes(root: str) -> tuple[str, ...]:
    """Names of the categories, by id.

    Raises:
        UserError: if a file is missing, is no COCO JSON, has no annotations, or if train and val
            have different categories.
    """
    folder = resolve_root(root)
    contents = [read_coco(folder / f"instances_{split}.json") for split in SPLITS]
    for split, content in zip(SPLITS, contents, strict=True):
        first = folder / split / content["images"][0]["file_name"]
        if not first.is_file():
            raise UserError(f"instances_{split}.json names {first}, which is not there")
    train, val = ({c["id"]: c["name"] for c in content["categories"]} for content in contents)
    if train != val:
        raise UserError(f"{folder}: train and val have different categories: {train} and {val}")
    return tuple(train[key] for key in sorted(train))


def semantic_classes(root: str) -> tuple[str, ...]:
    """'background' and the names of the categories, by the masks' pixel values.

    Raises:
        UserError: as :func:`instance_classes`, or if a mask holds a value without a class.
    """
    classes = ("background", *instance_classes(root))
    for split in SPLITS:
        masks = sorted((resolve_root(root) / f"{split}_masks").glob("*.png"))
        for mask in masks[:: max(len(masks) // CHECKED, 1)]:
            odd = {int(v) for v in np.unique(Image.open(mask))} - {*range(len(classes)), IGNORED}
            if odd:
                raise UserError(
                    f"{mask} holds the values {sorted(odd)}: expected class ids 0 to "
                    f"{len(classes) - 1} ({', '.join(classes)}), or {IGNORED} for pixels to ignore"
                )
    return classes


def read_coco(path: Path) -> dict[str, Any]:
    """A COCO file's content, its three lists present and not empty."""
    if not path.is_file():
        raise UserError(f"no annotations at {path}: expected a COCO JSON file")
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not content.get(key):
            raise UserError(f"{path} has no '{key}': expected a COCO JSON file with some")
    return content


def image_suffix(root: str) -> str:
    """Suffix of the images, such as '.png'. Raises UserError unless every image has a mask."""
    folder = resolve_root(root)
    suffixes = set()
    for split in SPLITS:
        images = sorted(p for p in (folder / split).glob("*") if p.is_file())
        if not images:
            raise UserError(f"no images in {folder / split}")
        for image in images:
            mask = folder / f"{split}_masks" / f"{image.stem}.png"
            if not mask.is_file():
                raise UserError(f"no mask at {mask} for {image.name}: expected a PNG of class ids")
            suffixes.add(image.suffix)
    if len(suffixes) > 1:
        raise UserError(f"images in {folder} have several suffixes: {', '.join(sorted(suffixes))}")
    return suffixes.pop()
