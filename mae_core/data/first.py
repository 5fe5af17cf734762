"""The first image of each set of a config, as the stage will see it."""

from mmengine.config import Config

from mae_core.agreement import image_sets
from mae_core.data.images import ImageDataset
from mae_core.errors import UserError


def try_images(config: Config) -> None:
    """Raise UserError if the first image of a set cannot be read, or has other channels."""
    for key, fields in image_sets(config.to_dict()):
        if fields.get("data") is None:  # as of a preview that shows the train images
            continue
        try:
            ImageDataset(**fields)[0]
        except UserError as error:
            raise UserError(f"{key}: {error}") from error
