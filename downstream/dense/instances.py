"""Images with instances of a detection stage, as COCO files describe them: found and checked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from downstream.dense.coco import Coco, read_coco, refuse
from downstream.dense.data import SPLITS, below, check_paths, held_out, trained_on
from downstream.dense.pictures import picture_faults
from downstream.dense.values import told
from mae_core.data.roots import resolve_root
from mae_core.errors import UserError
from mae_core.files import write_json

DECODED = 5000  # images of a split that are decoded before training


@dataclass(frozen=True)
class Instances:
    """A split with instances.

    Attributes:
        images: the folder that the annotations' file names are below.
        annotations: the user's COCO JSON, that the content is of.
        content: all or a part of what it holds, normalised.
    """

    images: Path
    annotations: Path
    content: Coco

    def on_disk(self, path: Path) -> Path:
        """Write the content as a COCO JSON, for all that read annotations from a file."""
        write_json(path, self.content.as_json())
        return path

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each image."""
        return [(image["height"], image["width"]) for image in self.content.images]


def instance_splits(config: Config) -> dict[str, Instances]:
    """Train and val with instances, by name.

    Raises:
        UserError: if a file is missing, is no COCO JSON or has faults, an image is missing, or
            train and val have different categories, or only one of them masks.
    """
    root = resolve_root(config.data_root)
    splits = {
        name: read_instances(root, name, config[f"{name}_data"])
        for name in SPLITS
        if name == "train" or config.get(f"{name}_data")
    }
    if "val" not in splits:
        splits = hold_out_instances(splits["train"])
    check_same_categories(*(splits[name] for name in SPLITS))
    check_same_shapes(*(splits[name] for name in SPLITS))
    for name, split in splits.items():
        if not any(map(is_learnt, split.content.annotations)):
            raise UserError(
                f"{split.annotations} has nothing for {name}: each annotation is a crowd, is "
                "marked 'ignore' or is thinner than a pixel"
            )
    return splits


def check_same_categories(train: Instances, val: Instances) -> None:
    """Raise UserError unless both have the same ids with the same names."""
    own, other = train.content.categories, val.content.categories
    if own != other:
        raise UserError(
            f"{train.annotations} and {val.annotations} have different categories: "
            f"{told(unlike(own, other))} and {told(unlike(other, own))}"
        )


def check_same_shapes(train: Instances, val: Instances) -> None:
    """Raise UserError if one has masks and the other boxes alone."""
    with_masks = [split.annotations for split in (train, val) if split.content.has_masks]
    if len(with_masks) == 1:
        raise UserError(
            f"of {train.annotations} and {val.annotations} only {with_masks[0]} has masks: "
            "expected them in both, or boxes alone (without 'segmentation') in both"
        )


def unlike(these: Mapping[int, str], those: Mapping[int, str]) -> dict[int, str]:
    """The categories that the others lack, or name otherwise."""
    return {key: name for key, name in these.items() if those.get(key) != name}


def is_learnt(entry: Mapping[str, Any]) -> bool:
    """Whether mmdet trains on a normalised annotation."""
    return not (entry["iscrowd"] or entry.get("ignore") or min(entry["bbox"][2:]) < 1)


def notes_on(train: Instances) -> list[str]:
    """What should be known before a training on the split."""
    content, notes = train.content, []
    if not content.has_masks:
        notes.append("annotations have boxes and no masks: boxes alone are learnt and measured")
    learnt = [entry for entry in content.annotations if is_learnt(entry)]
    missing = content.categories.keys() - {entry["category_id"] for entry in learnt}
    if missing:
        names = [content.categories[key] for key in sorted(missing)]
        notes.append(f"no instance in train of {told(names)}: it cannot be learned")
    left_out = len(content.annotations) - len(learnt)
    if left_out:
        notes.append(
            f"{left_out:,} annotation(s) of train are crowds, marked 'ignore' or thinner than a "
            "pixel: not trained on"
        )
    return notes


def read_instances(root: Path, name: str, fields: Any) -> Instances:
    """The split `name`, described by a config. Raises UserError as :func:`instance_splits`."""
    check_paths(name, fields, "annotations")
    images, annotations = below(root, fields["images"]), below(root, fields["annotations"])
    return Instances(images, annotations, read_coco(annotations, images))


def check_instances(splits: Mapping[str, Instances]) -> None:
    """Decode the images, of large splits `DECODED` that are evenly spread.

    Raises:
        UserError: if one cannot be read, or is of another size than the annotations say.
    """
    for split in splits.values():
        images = split.content.images
        some = images[:: -(-len(images) // DECODED)]
        refuse(picture_faults(some, split.images), split.annotations, split.images)


def hold_out_instances(whole: Instances) -> dict[str, Instances]:
    """A part of the images to train with, the rest for val."""
    parts = trained_on, held_out
    splits = {}
    for name, wanted in zip(SPLITS, parts, strict=True):
        content = whole.content.only(wanted)
        if not content.images or not content.annotations:
            raise UserError(
                f"{whole.annotations} has too few annotated images to hold some out for val: "
                "name others as val_data"
            )
        splits[name] = replace(whole, content=content)
    return splits
