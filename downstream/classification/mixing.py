"""Mixup and CutMix (Zhang et al. 2018, arXiv 1710.09412; Yun et al. 2019, arXiv 1905.04899)."""

from typing import Any

import torch
from timm.data.mixup import Mixup, mixup_target

from mae_core.data.augment import seeded
from mae_core.engine.preprocess import Normalize


class MixingNormalize(Normalize):
    """Normalise, and in training mix each image with another of its batch.

    What is drawn follows from the seed of the batch's first image. Labels become shares of the
    classes, float (N, classes) that sum to one; the last image of an odd batch is not mixed.

    Args:
        classes: their number.
        label_smoothing: 0 to below 1.
        mixing: other arguments of timm's `Mixup`.
        pixels: `mean` and `std` of :class:`Normalize`.
    """

    def __init__(
        self, classes: int, label_smoothing: float, mixing: dict[str, Any], pixels: dict[str, Any]
    ) -> None:
        super().__init__(**pixels)
        self.mixup = Mixup(num_classes=classes, label_smoothing=label_smoothing, **mixing)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """As :meth:`Normalize.forward`, mixed if `training`."""
        batch = super().forward(data, training)
        if not training:
            return batch
        images, labels, mixup = batch["inputs"], batch["label"], self.mixup
        paired = len(images) // 2 * 2
        with seeded(int(data["seed"][0])):
            mixed, shares = mixup(images[:paired], labels[:paired])
        rest = mixup_target(labels[paired:], mixup.num_classes, 1.0, mixup.label_smoothing)
        inputs = torch.cat([mixed, images[paired:]])
        return {**batch, "inputs": inputs, "label": torch.cat([shares, rest])}
