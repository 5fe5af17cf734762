"""What can be known to be wrong before a segmentor is trained."""

from mmengine.config import Config

from downstream.dense.data import label_table, mask_splits, semantic_classes
from downstream.dense.masks import check_masks
from downstream.dense.rehearsal import quiet
from downstream.scratch import recipes, weights_of
from mae_core.checkpoints import check_sizes
from mae_core.data.overlap import tell_overlap


def check(config: Config, encoder: str) -> None:
    """Raise UserError if the data or the encoder's sizes cannot do, or what follows a training."""
    check_sizes(config.encoder, weights_of(encoder), config.get("resample_patches", False))
    classes = semantic_classes(config)
    splits = mask_splits(config)
    check_masks(splits, label_table(config, classes), config.get("ignored") or ())
    if config.get("val_data"):
        names = [[str(image) for image, _ in splits[name].pairs] for name in ("train", "val")]
        tell_overlap(*names, config.train_data.images, config.val_data.images)
    with quiet():
        from downstream.segmentation.stage import rehearse  # imports mm, which takes seconds
    for recipe in recipes(config, encoder):
        rehearse(recipe, classes)
