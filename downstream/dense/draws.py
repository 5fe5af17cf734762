"""Training images whose augmentations follow from a seed for each visit, as in pretraining."""

from typing import Any

from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset

from mae_core.data.augment import seeded
from mae_core.data.sampler import Draw


class DrawnImages(Dataset[Any]):
    """An mm data set for :class:`mae_core.data.sampler.DrawSampler`.

    mm's transforms draw from the process's own generators of random numbers. Here these begin
    anew for each visit of an image, from its seed, and are left as they were: what is drawn depends
    neither on the loader's processes nor on what was loaded before, so a resumed training goes
    on as an undisturbed one would.

    Args:
        images: of mm, with a pipeline for training.
    """

    def __init__(self, images: BaseDataset) -> None:
        self.images = images
        self.metainfo = images.metainfo  # mmengine's loop looks for it

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: int | Draw) -> Any:
        """What mm's pipeline makes of an image; a number alone begins nothing anew."""
        if not isinstance(draw, Draw):
            return self.images[draw]
        with seeded(draw.seed):
            return self.images[draw.index]
