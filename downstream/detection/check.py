"""What can be known to be wrong before a detector is trained."""

from collections.abc import Mapping

from mmengine.config import Config

from downstream.dense.instances import Instances, check_instances, instance_splits
from downstream.dense.task import check_task


def check(config: Config, encoder: str) -> None:
    """Raise UserError if the data or the encoder's sizes cannot do, or what follows a training."""
    check_task("downstream.detection.stage", config, encoder, read_checked, paths)


def read_checked(config: Config) -> dict[str, Instances]:
    """The splits. Raises UserError if an image cannot be read."""
    splits = instance_splits(config)
    check_instances(splits)
    return splits


def paths(splits: Mapping[str, Instances], name: str) -> list[str]:
    """Where the images of a split lie."""
    folder, images = splits[name].images, splits[name].content.images
    return [str(folder / image["file_name"]) for image in images]
