"""What can be known to be wrong before a detector is trained; imports nothing of mm."""

from mmengine.config import Config

from downstream.dense.data import check_instances, instance_splits
from mae_core.checkpoints import check_sizes


def check(config: Config, encoder: str) -> None:
    """Raise UserError if the data or the encoder's sizes cannot do."""
    check_sizes(config.encoder, encoder, config.get("resample_patches", False))
    check_instances(instance_splits(config))
