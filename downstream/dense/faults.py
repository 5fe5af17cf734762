"""What is wrong with annotated images: every fault, not only the first."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from downstream.dense.coco import parse_coco
from downstream.dense.data import IGNORED, find_masks, read_mask
from downstream.dense.pictures import picture_faults
from mae_core.data.decode import open_file
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


class MaskFolder(NamedTuple):
    """What a folder of masks holds.

    Attributes:
        images: how many, each with its mask.
        pixels: share of the pixels of each value.
        faults: one line each.
    """

    images: int
    pixels: dict[int, float]
    faults: list[str]


def check_mask_folder(images: Path, masks: Path) -> MaskFolder:
    """Look at every mask: that it is one number a pixel, and of its image's size.

    Raises:
        UserError: if an image has no mask, or there are none.
    """
    pairs, faults = find_masks(images, masks).pairs, []
    counts = np.zeros(256, dtype=np.int64)
    for image, path in pairs:
        try:
            mask = read_mask(path)
            size = open_file(image).size
        except UserError as error:
            faults.append(str(error))
            continue
        counts += np.bincount(mask.ravel(), minlength=256)
        if mask.shape != size:
            faults.append(
                f"{path} is {mask.shape[1]}×{mask.shape[0]} pixels, its image {size[1]}×{size[0]}"
            )
        if (mask == IGNORED).all():
            faults.append(f"{path} has no pixel with a class: all are {IGNORED}")
    shares = {int(v): float(counts[v] / counts.sum()) for v in np.flatnonzero(counts)}
    return MaskFolder(len(pairs), shares, faults)


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
