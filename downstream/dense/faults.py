"""What is wrong with annotated images: every fault, not only the first."""

from pathlib import Path
from typing import NamedTuple

from downstream.dense.coco import parse_coco
from downstream.dense.pictures import picture_faults
from mae_core.errors import UserError


class Annotations(NamedTuple):
    """What a COCO file holds.

    Attributes:
        images: how many, without those of a fault.
        empty: images without annotation.
        instances: how many of each category, by name.
        kinds: of segmentations: 'polygon', 'RLE', 'compressed RLE', 'none'.
        faults: one line each.
        flat: of annotations without a pixel, which a training can live with, one line each.
    """

    images: int
    empty: int
    instances: dict[str, int]
    kinds: dict[str, int]
    faults: list[str]
    flat: list[str]


def check_annotations(path: Path, folder: Path) -> Annotations:
    """Look at everything in a COCO file, and decode its images.

    Args:
        path: of the JSON.
        folder: with the images.

    Raises:
        UserError: if it is no COCO file at all.
    """
    parsed = parse_coco(path, folder)
    images = parsed.content.images
    faults = [*parsed.faults, *picture_faults(images, folder)]
    found = {name: parsed.instances[name] for name in parsed.content.names}
    kinds = dict(parsed.kinds)
    return Annotations(len(images), parsed.empty, found, kinds, faults, parsed.flat)


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
