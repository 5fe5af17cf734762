"""Annotated images of a detection or segmentation stage: found, checked, described to mm.

`train_data` and `val_data` of a config name paths below `data_root`: `images`, a folder, and
`annotations`, a COCO JSON, or `masks`, a folder with a PNG for each image that holds class ids.
Without `val_data` every fifth image, by the hash of its name, is held out.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from os.path import realpath
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from downstream.dense.coco import read_categories
from downstream.dense.values import told
from mae_core.data.decode import open_file, open_stored
from mae_core.data.roots import files_below, resolve_root
from mae_core.data.sources.base import is_image
from mae_core.errors import UserError

VALUES = 256  # that a mask's pixel may have
IGNORED = 255  # a label that is left out of the loss and of the metrics
HELD_OUT = 5  # one image in so many
SIZED = 100  # images whose sizes decide on the crop
LABEL_IDS = "_labelTrainIds"  # ends the names of masks that mmseg's tools make
SPLITS = ("train", "val")


def below(root: Path, name: str) -> Path:
    """A path below `root`, so that the data's digest covers it. Raises UserError for others."""
    path = root / name
    if not path.resolve().is_relative_to(root):
        raise UserError(f"{path} lies outside data_root={root}: choose a folder that has both")
    return path


def held_out(name: str) -> bool:
    """Whether an image is held out, which does not depend on the other images."""
    return hashlib.sha256(os.fsencode(name)).digest()[0] % HELD_OUT == 0


def trained_on(name: str) -> bool:
    """Whether an image is not held out."""
    return not held_out(name)


@dataclass(frozen=True)
class Masks:
    """A split with semantic masks: (image, mask) of each, by the image's name."""

    pairs: tuple[tuple[Path, Path], ...]

    @property
    def some(self) -> tuple[tuple[Path, Path], ...]:
        """Up to about 100 of them, evenly spread."""
        return self.pairs[:: max(len(self.pairs) // SIZED, 1)]


def mask_splits(config: Config) -> dict[str, Masks]:
    """Train and val with masks, by name.

    Raises:
        UserError: if an image has no mask, or a mask holds a value that is no class's.
    """
    root, splits = resolve_root(config.data_root), {}
    for name in SPLITS:
        fields = config.get(f"{name}_data")
        if fields is not None or name == "train":
            check_paths(name, fields, "masks")
            splits[name] = find_masks(below(root, fields["images"]), below(root, fields["masks"]))
    if "val" not in splits:
        pairs = splits["train"].pairs
        train = tuple(pair for pair in pairs if trained_on(pair[0].name))
        val = tuple(pair for pair in pairs if held_out(pair[0].name))
        if not train or not val:
            raise UserError(f"{len(pairs)} images are too few to hold some out: name a val_data")
        splits = {"train": Masks(train), "val": Masks(val)}
    return splits


def check_paths(name: str, fields: object, second: str) -> None:
    """Raise UserError unless a split is described by two paths, `images` and `second`."""
    given = fields if isinstance(fields, Mapping) else {}
    if not all(isinstance(given.get(key), str) for key in ("images", second)):
        raise UserError(f"{name}_data={told(fields)}: expected dict(images='...', {second}='...')")


def find_masks(images: Path, masks: Path) -> Masks:
    """The images below a folder, each with its mask: a PNG of the same name, or that begins so.

    Images and masks may lie in one folder: what is the mask of another file is no image.

    Raises:
        UserError: if a folder or all images are missing, an image has no mask, or two have one.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise UserError(f"no folder {folder}")
    stems = masks_by_name(masks)
    image_of: dict[Path, Path] = {}
    alone = []
    for image in images_beside(images, masks):
        stem = image.relative_to(images).with_suffix("").as_posix()
        named = (stems.get(stem), stems.get(f"{stem}{LABEL_IDS}"))
        others = (path for path in named if path and realpath(path) != realpath(image))
        mask = next(others, None)
        if mask is None:
            alone.append((image, f"{masks / stem}.png"))
        elif mask in image_of:
            raise UserError(f"{image_of[mask]} and {image} have the same mask {mask}: remove one")
        else:
            image_of[mask] = image
    used = {realpath(mask) for mask in image_of}
    for image, expected in alone:
        if realpath(image) not in used:
            raise UserError(
                f"no mask at {expected} for {image.name}: expected a PNG of class ids, beside the "
                "image or in a folder of its own"
            )
    pairs = [(i, mask) for mask, i in image_of.items() if realpath(i) not in used]
    if not pairs:
        raise UserError(f"no images in {images}")
    return Masks(tuple(pairs))


def images_beside(images: Path, masks: Path) -> list[Path]:
    """Images below a folder, without those of a folder of masks further down."""
    found = [images / name for name in sorted(filter(is_image, files_below(images)))]
    if masks == images or not masks.is_relative_to(images):
        return found
    return [path for path in found if not path.is_relative_to(masks)]


def masks_by_name(folder: Path) -> dict[str, Path]:
    """PNG files below a folder, by path without suffix; links are followed.

    Raises:
        UserError: if two have one name.
    """
    found: dict[str, Path] = {}
    for name in sorted(filter(is_image, files_below(folder))):
        path = folder / name
        stem = Path(name).with_suffix("").as_posix()
        if path.suffix.lower() != ".png":
            continue
        if stem in found:
            raise UserError(f"{path} and {found[stem]} are two masks of one name: remove one")
        found[stem] = path
    return found


def image_sizes(split: Masks) -> list[tuple[int, int]]:
    """(height, width) of up to 100 images."""
    sizes = []
    for path, _ in split.some:
        sizes.append(open_file(path).size)
    return sizes


def semantic_classes(config: Config) -> tuple[str, ...]:
    """Names of the classes in the order of their labels.

    They are `config.classes`, a list or the name of an mmseg data set such as 'ADE20KDataset', or
    else 'background' and the categories of `train_data.annotations`.

    Raises:
        UserError: if the config says neither, or there is no such data set.
    """
    named = config.get("classes")
    if isinstance(named, str):
        with redirect_stdout(StringIO()):  # mmseg tells which of its data sets it leaves out
            import mmseg.datasets  # noqa: F401  registers
            from mmseg.registry import DATASETS

        dataset = DATASETS.module_dict.get(named)  # `get` imports what a name with dots names
        if not getattr(dataset, "METAINFO", {}).get("classes"):
            raise UserError(f"classes='{named}': mmseg has no such data set; or list the names")
        return tuple(dataset.METAINFO["classes"])
    if named is not None:
        return checked_classes(named)
    annotations = config.train_data.get("annotations")
    if annotations is None:
        raise UserError(
            "which class is which? Name them in the order of their pixel values, such as "
            "-o \"classes=['background','cell']\""
        )
    names = read_categories(resolve_root(config.data_root) / annotations)
    return checked_classes(["background", *names])


def checked_classes(names: object) -> tuple[str, ...]:
    """The names. Raises UserError unless they are texts, each another, as many as labels."""
    listing = list(names) if isinstance(names, list | tuple) else []
    if not listing or not all(isinstance(name, str) and name.strip() for name in listing):
        raise UserError(f"classes={names!r}: expected a list of names")
    double = sorted({name for name in listing if listing.count(name) > 1})
    if double or len(listing) > IGNORED:
        raise UserError(
            f"classes have {double or len(listing)}: expected at most {IGNORED} names, each once"
        )
    return tuple(listing)


def label_table(config: Config, classes: Sequence[str]) -> list[int]:
    """256 labels, one for each pixel value of a mask, 255 for those without a class.

    `config.pixel_values` has the pixel value of each class; without it they are 0, 1, 2, ...
    Values in `config.ignored` have none.

    Raises:
        UserError: if there are not as many values as classes, or one is no pixel's, or is there
            twice, or is both a class's and ignored.
    """
    values = pixel_values(config.get("pixel_values") or range(len(classes)), "pixel_values")
    ignored = pixel_values(config.get("ignored") or [], "ignored")
    if len(values) != len(classes):
        raise UserError(
            f"{len(classes)} classes, but {len(values)} values: name one for each in pixel_values"
        )
    both = sorted(set(values) & set(ignored))
    if both:
        raise UserError(f"ignored={ignored} and pixel_values={values} both have {both}")
    table = [IGNORED] * VALUES
    for label, value in enumerate(values):
        table[value] = label
    return table


def pixel_values(values: object, key: str) -> list[int]:
    """A config's list. Raises UserError unless it holds different numbers from 0 to 255."""
    listing: list[Any] = list(values) if isinstance(values, list | tuple | range) else [None]
    known = all(type(value) is int and 0 <= value < VALUES for value in listing)
    if not known or len(set(listing)) < len(listing):
        raise UserError(f"{key}={values!r:.200}: expected different numbers from 0 to 255")
    return listing


def read_mask(path: Path | str) -> np.ndarray:
    """Class ids (H, W) uint8, of a grey or palette PNG. Raises UserError for any other picture."""
    mask = open_stored(path)
    if mask.image.mode not in ("L", "P", "1"):
        raise UserError(f"{path} is {mask.image.mode}: a mask holds one number a pixel, 0 to 255")
    return mask.stored().astype(np.uint8)


def typical_size(sizes: Sequence[tuple[int, int]], multiple: int, most: int) -> int:
    """The median of the shorter sides, rounded up to a multiple, at most `most`.

    Args:
        sizes: (height, width) of each image.
        multiple: of pixels, the patch.
        most: the largest answer.
    """
    median = float(np.median([min(size) for size in sizes]))
    return int(min(-(-median // multiple), most // multiple) * multiple)


def epochs_for(updates: int, images: int, batch: int) -> int:
    """Epochs with at least so many updates."""
    return max(1, -(-updates * batch // max(images, batch)))
