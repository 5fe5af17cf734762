"""Annotated images of a detection or segmentation stage: found, checked, described to mm.

`train_data` and `val_data` of a config name paths below `data_root`: `images`, a folder, and
`annotations`, a COCO JSON, or `masks`, a folder with a file for each image, see
:mod:`downstream.dense.naming`. Links on the disk are followed, wherever they lead. Without
`val_data` every fifth image, by the hash of its name, is held out.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from os.path import normpath
from pathlib import Path

import numpy as np
from mmengine.config import Config

from downstream.dense.coco import read_categories
from downstream.dense.label_map import IGNORED
from downstream.dense.naming import Pair, Place, find_pairs
from downstream.dense.values import told
from mae_core.data.decode import open_file
from mae_core.data.roots import resolve_root
from mae_core.errors import UserError

HELD_OUT = 5  # one image in so many
SIZED = 100  # images whose sizes decide on the crop
SPLITS = ("train", "val")


def below(root: Path, name: str) -> Path:
    """A path below `root`, so that the data's digest, which follows links, covers it.

    Raises:
        UserError: if '..' or its beginning lead elsewhere.
    """
    path = Path(normpath(root / name))  # as '..' after a link would lead beside what it points to
    if not (path.is_relative_to(root) or path.resolve().is_relative_to(root)):
        raise UserError(
            f"{path} lies outside data_root={root}: choose a folder that has both, or make a link "
            "in data_root"
        )
    return path


def held_out(name: str) -> bool:
    """Whether an image is held out, which does not depend on the other images."""
    return hashlib.sha256(os.fsencode(name)).digest()[0] % HELD_OUT == 0


def trained_on(name: str) -> bool:
    """Whether an image is not held out."""
    return not held_out(name)


@dataclass(frozen=True)
class Masks:
    """A split with semantic masks: (image, mask) of each, in the order of the images."""

    pairs: tuple[Pair, ...]

    @property
    def some(self) -> tuple[Pair, ...]:
        """Up to about 100 of them, evenly spread."""
        return self.pairs[:: max(len(self.pairs) // SIZED, 1)]


def mask_splits(config: Config) -> dict[str, Masks]:
    """Train and val with masks, by name.

    Raises:
        UserError: if a path is none, or as :func:`find_pairs`.
    """
    root, splits = resolve_root(config.data_root), {}
    for name in SPLITS:
        fields = config.get(f"{name}_data")
        if fields is not None or name == "train":
            check_paths(name, fields, "masks")
            places = below(root, fields["images"]), below(root, fields["masks"])
            splits[name] = Masks(tuple(find_pairs(*places)))
    if "val" not in splits:
        pairs, own_name = splits["train"].pairs, Place.of(Path(config.train_data.images)).own_name
        train = tuple(pair for pair in pairs if trained_on(own_name(pair[0])))
        val = tuple(pair for pair in pairs if held_out(own_name(pair[0])))
        if not train or not val:
            raise UserError(f"{len(pairs)} images are too few to hold some out: name a val_data")
        splits = {"train": Masks(train), "val": Masks(val)}
    return splits


def check_paths(name: str, fields: object, second: str) -> None:
    """Raise UserError unless a split is described by two paths, `images` and `second`."""
    given = fields if isinstance(fields, Mapping) else {}
    if not all(isinstance(given.get(key), str) for key in ("images", second)):
        raise UserError(f"{name}_data={told(fields)}: expected dict(images='...', {second}='...')")


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
    names = read_categories(below(resolve_root(config.data_root), annotations))
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
