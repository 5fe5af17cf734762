"""What can be known to be wrong before a detector is trained."""

from mmengine.config import Config

from downstream.dense.data import check_instances, instance_splits
from downstream.dense.rehearsal import quiet
from downstream.scratch import recipes, weights_of
from mae_core.checkpoints import check_sizes
from mae_core.data.overlap import tell_overlap


def check(config: Config, encoder: str) -> None:
    """Raise UserError if the data or the encoder's sizes cannot do, or what follows a training."""
    check_sizes(config.encoder, weights_of(encoder), config.get("resample_patches", False))
    splits = instance_splits(config)
    check_instances(splits)
    if config.get("val_data"):
        names = [
            [str(split.images / image["file_name"]) for image in split.content.images]
            for split in (splits["train"], splits["val"])
        ]
        tell_overlap(*names, str(splits["train"].images), str(splits["val"].images))
    with quiet():
        from downstream.detection.stage import rehearse  # imports mm, which takes seconds
    for recipe in recipes(config, encoder):
        rehearse(recipe, splits)
