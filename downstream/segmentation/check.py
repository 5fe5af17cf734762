"""What can be known to be wrong before a segmentor is trained."""

from typing import NamedTuple

from mmengine.config import Config

from downstream.dense.data import Masks, mask_splits, semantic_classes
from downstream.dense.label_map import label_map
from downstream.dense.masks import check_masks
from downstream.dense.task import check_task


class Semantic(NamedTuple):
    """Images with semantic masks.

    Attributes:
        splits: 'train' and 'val'.
        classes: names by label.
    """

    splits: dict[str, Masks]
    classes: tuple[str, ...]


def check(config: Config, encoder: str) -> None:
    """Raise UserError if the data or the encoder's sizes cannot do, or what follows a training."""
    check_task("downstream.segmentation.stage", config, encoder, read_checked, paths)


def read_semantic(config: Config) -> Semantic:
    """The config's images. Raises UserError if classes or masks are missing."""
    classes = semantic_classes(config)
    return Semantic(mask_splits(config), classes)


def read_checked(config: Config) -> Semantic:
    """As :func:`read_semantic`. Raises UserError also for masks that no segmentor can learn."""
    data = read_semantic(config)
    check_masks(data.splits, label_map(config, data.classes))
    return data


def paths(data: Semantic, name: str) -> list[str]:
    """Where the images of a split lie."""
    return [str(image) for image, _ in data.splits[name].pairs]
