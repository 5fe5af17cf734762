"""What methods share that mask patches and predict their pixels: targets, pictures, files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mae_core.checkpoints import save_weights
from mae_core.figures import MASK_GREY
from mae_core.methods.base import Method
from mae_core.noise import uniform
from mae_core.patches import grid_size, patchify, unpatchify

TARGET_EPS = 1e-6  # added to a patch's variance before the square root


class MaskedPixels(Method):
    """A subclass has `forward(images, noise)`, whose result has a `loss`.

    Attributes:
        grid: patches that may be masked, down and across, in images of the encoder's size.
        square: side of such a patch, in pixels.
    """

    grid: tuple[int, int]
    square: int

    def losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """The loss of one step; image i is masked as seed i says."""
        rows, columns = self.grid_of(images)
        return {"loss": self(images, uniform(seeds, rows * columns)).loss}

    def grid_of(self, images: Tensor) -> tuple[int, int]:
        """As :attr:`grid`, of images (N, C, H, W)."""
        return grid_size(images.shape[-2], images.shape[-1], self.square)

    def picture_noise(self, count: int, seed: int) -> Tensor:
        """(count, L) float on the CPU, which masks the images of a picture."""
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(count, self.grid[0] * self.grid[1], generator=generator)

    def compile(self, *args: Any, **options: Any) -> None:
        """Have :meth:`forward` compiled; the seeds' noise is drawn outside."""
        nn.Module.compile(self, *args, **options)

    def save(self, folder: Path, about: dict[str, Any]) -> dict[str, str]:
        """Write `<name of the method>.safetensors`, the encoder and all else."""
        path = folder / f"{self.name}.safetensors"
        save_weights(path, self, **{self.name: self.config}, **about)
        return {self.name: str(path)}


def pasted(pixels: Tensor, predicted: Tensor, mask: Tensor, size: int) -> dict[str, Tensor]:
    """What a picture of a reconstruction shows: 'masked', 'predicted' and 'pasted'.

    Args:
        pixels, predicted: (N, C, H, W) uint8, or float32, then NaN where they are masked.
        mask: (N, L), 1 where a patch is masked.
        size: of a patch, in pixels.
    """
    spread = mask.unsqueeze(-1).expand(-1, -1, size * size * pixels.shape[1])
    hidden = unpatchify(spread, size, *pixels.shape[-2:]).bool()
    grey = math.nan if pixels.is_floating_point() else int(255 * MASK_GREY)
    return {
        "masked": torch.where(hidden, torch.full_like(pixels, grey), pixels),
        "predicted": predicted,
        "pasted": torch.where(hidden, predicted, pixels),
    }


def labelled(parts: Mapping[str, Tensor], mask_ratio: float) -> dict[str, Tensor]:
    """What :func:`pasted` gives, by the labels of a picture's rows."""
    label = f"{mask_ratio:.0%} masked"
    return {
        label: parts["masked"],
        f"{label}: predicted": parts["predicted"],
        f"{label}: pasted": parts["pasted"],
    }


def to_target(patches: Tensor, normalised: bool) -> Tensor:
    """Patches of pixels (N, P, p*p*C) -> what is to be predicted, float32."""
    patches = patches.float()
    if not normalised:
        return patches
    mean, std = patch_statistics(patches)
    return (patches - mean) / std


def from_target(pred: Tensor, images: Tensor, size: int, normalised: bool) -> Tensor:
    """Predictions (N, L, p*p*C) of the patches of `images` (N, C, H, W) as images like them.

    Normalised ones take each patch's true mean and deviation.
    """
    pred = pred.float()
    if normalised:
        mean, std = patch_statistics(patchify(images.float(), size))
        pred = pred * std + mean
    return unpatchify(pred, size, *images.shape[-2:])


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased deviation of each patch, (N, L, 1) both."""
    var, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return mean, (var + TARGET_EPS).sqrt()
