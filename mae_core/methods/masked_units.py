"""What methods share that mask whole patches of the encoder's coarsest map and predict pixels."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mae_core.data.normalize import Normalize
from mae_core.encoders.base import Encoder
from mae_core.errors import UserError
from mae_core.masking import mask_patches, visible_patches
from mae_core.methods.mae import MAEOutput
from mae_core.methods.masked_pixels import (
    MaskedPixels,
    from_target,
    labelled,
    pasted,
    to_target,
)
from mae_core.patches import gather_patches, grid_size, patchify


class MaskedUnits(MaskedPixels):
    """Some units of the image are masked; loss on the pixels of the patches that these hold.

    A subclass has a `decoder`, whose output for an image does not depend on those beside it, and
    :meth:`predict`.

    Args:
        encoder: to pretrain.
        square: side of a unit in pixels.
        patch_size: side of a patch in pixels, which divides that of a unit.
        mask_ratio: share of masked units, 0 to below 1. With 0 the loss is over all patches.
        norm_pix_loss: predict pixels normalised by each patch's mean and deviation.

    Attributes:
        grid: units down and across.

    Raises:
        UserError: if images have less than two units, or the ratio masks all.
    """

    decoder: nn.Module

    def __init__(
        self,
        encoder: Encoder,
        square: int,
        patch_size: int,
        mask_ratio: float,
        norm_pix_loss: bool,
    ) -> None:
        super().__init__()
        self.square, self.patch_size = square, patch_size
        height, width = encoder.img_size
        self.grid = grid_size(height, width, square)
        units = self.grid[0] * self.grid[1]
        if units < 2:
            raise UserError(
                f"the method {self.name} masks squares of {square} pixels, the encoder's coarsest, "
                f"of which images of {height}×{width} have {units}: choose a larger "
                "encoder.img_size, or fewer strides by encoder.options (for ConvNeXt patch_size=1)"
            )
        if isinstance(mask_ratio, bool) or not isinstance(mask_ratio, int | float):
            raise UserError(f"mask_ratio={mask_ratio!r}: expected a number")
        visible_patches(units, mask_ratio)
        self.encoder = encoder
        self.mask_ratio, self.norm_pix_loss = mask_ratio, norm_pix_loss
        self.config: dict[str, Any] = {"mask_ratio": mask_ratio, "norm_pix_loss": norm_pix_loss}

    def predict(self, images: Tensor, visible: Tensor) -> Tensor:
        """Every patch's pixels, in target units, from the visible ones.

        Args:
            images: (N, C, H, W) float, normalised.
            visible: (N, h, w) bool, of each image as many, True for the units that the encoder may
                see.

        Returns:
            (N, L, p*p*C), as :func:`mae_core.patches.patchify` orders them.
        """
        raise NotImplementedError

    def forward(self, images: Tensor, noise: Tensor) -> MAEOutput:
        """One step on images (N, C, H, W) float; sides are multiples of the unit.

        Of `noise` (N, units) in [0, 1), one draw a unit, the smallest stay visible; the result's
        `mask` is of units, too.
        """
        grid = self.grid_of(images)
        keep, hidden, mask = mask_patches(noise, grid, self.mask_ratio)
        pred = self.predict(images, mask.unflatten(1, grid) == 0)
        units = hidden if hidden.shape[1] else keep
        scored = patches_of(units, grid[1], self.square // self.patch_size)
        target = gather_patches(patchify(images, self.patch_size), scored)
        found = gather_patches(pred, scored).float()
        loss = F.mse_loss(found, to_target(target, self.norm_pix_loss))
        return MAEOutput(loss, pred, mask)

    def compile(self, *args: Any, **options: Any) -> None:
        """Have the decoder compiled; what the encoder computes differs from step to step."""
        self.decoder.compile(*args, **options)

    @torch.no_grad()
    def picture(self, pixels: Tensor, normalize: Normalize, seed: int = 0) -> dict[str, Tensor]:
        """The images, what the encoder sees of them, predictions, and these pasted where masked.

        Args:
            pixels: (N, C, H, W) uint8 or float32.
            normalize: to what the encoder sees, and back.
            seed: of the masks.
        """
        self.eval()
        images = normalize.images(pixels.to(next(self.parameters()).device))
        out = self(images, self.picture_noise(len(images), seed).to(images.device))
        shown = from_target(out.pred, images, self.patch_size, self.norm_pix_loss)
        predicted = normalize.restore(shown, pixels.dtype).cpu()
        parts = pasted(pixels.cpu(), predicted, out.mask.cpu(), self.square)
        return {"original": pixels, **labelled(parts, self.mask_ratio)}


def patches_of(units: Tensor, columns: int, side: int) -> Tensor:
    """The patches that units hold.

    Args:
        units: (N, K) int64, places in a grid, row by row.
        columns: of units.
        side: patches along a unit's side.

    Returns:
        (N, K * side * side) int64, places in the grid of patches, row by row within a unit.
    """
    inside = torch.arange(side, device=units.device)
    rows = (units // columns * side).unsqueeze(-1) + inside
    places = (units % columns * side).unsqueeze(-1) + inside
    return (rows.unsqueeze(-1) * (columns * side) + places.unsqueeze(-2)).flatten(1)
