"""Mixup and CutMix (Zhang et al. 2018, arXiv 1710.09412; Yun et al. 2019, arXiv 1905.04899)."""

from typing import Any

import numpy as np
import torch
from timm.data.mixup import Mixup, mixup_target

from mae_core.data.augment import seeded
from mae_core.data.normalize import Normalize


class MixingNormalize(Normalize):
    """Normalise, and in training mix neighbours: images 0 and 1 of a batch, 2 and 3, ...

    The order of a training is random, so a neighbour is a random partner. The ratio, and whether
    it is mixup or CutMix, follow from the seed of a pair's first image: a pair is mixed alike
    however many others a device handles at once. timm and facebookresearch/mae draw one ratio for
    all that a GPU handles, and their partner is the image as far from the batch's other end. Labels
    become shares of the classes, float (N, classes) that sum to one; the last image of an odd batch
    is not mixed. Where images have several labels, (N, L) float, a pair's are mixed in the same
    ratio, and not smoothed here.

    Args:
        classes: their number; None where images have several labels.
        label_smoothing: 0 to below 1.
        mixing: other arguments of timm's `Mixup`, to which each pair is a batch.
        pixels: `mean` and `std` of :class:`Normalize`.
    """

    def __init__(
        self,
        classes: int | None,
        label_smoothing: float,
        mixing: dict[str, Any],
        pixels: dict[str, Any],
    ) -> None:
        super().__init__(**pixels)
        self.several = classes is None
        if classes is None:  # whose shares are to be found are the two images themselves
            classes, label_smoothing = 2, 0.0
        self.mixup = Mixup(num_classes=classes, label_smoothing=label_smoothing, **mixing)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """As :meth:`Normalize.forward`, mixed if `training`."""
        batch = super().forward(data, training)
        if not training:
            return batch
        pairs = zip(
            batch["inputs"].split(2), batch["label"].split(2), data["seed"][::2], strict=True
        )
        with seeded(0):  # the global states are restored after
            shares = [self.mix(images, labels, int(seed)) for images, labels, seed in pairs]
        return {**batch, "label": torch.cat(shares)}

    def mix(self, images: torch.Tensor, labels: torch.Tensor, seed: int) -> torch.Tensor:
        """Mix two images (2, C, H, W) in place, or leave one as it is; the labels' shares."""
        if self.several:
            return self.mix_several(images, labels, seed)
        if len(images) == 1:
            return mixup_target(labels, self.mixup.num_classes, 1.0, self.mixup.label_smoothing)
        np.random.seed(seed % 2**32)  # timm's Mixup draws from nothing else
        return self.mixup(images, labels)[1]

    def mix_several(self, images: torch.Tensor, labels: torch.Tensor, seed: int) -> torch.Tensor:
        """As :meth:`mix`, of labels (2, L)."""
        if len(images) == 1:
            return labels
        np.random.seed(seed % 2**32)
        shares = self.mixup(images, torch.arange(2, device=labels.device))[1]
        return shares.to(labels.dtype) @ labels
