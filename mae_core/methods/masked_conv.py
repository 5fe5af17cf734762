"""What the masked pretrainings of ConvNets share: masks, masked features, loss and picture."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mae_core.data.normalize import Normalize
from mae_core.encoders.base import Encoder
from mae_core.errors import UserError
from mae_core.masking import mask_patches, visible_patches
from mae_core.methods.mae import MAEOutput
from mae_core.methods.masked_layers import Visible, check_layers
from mae_core.methods.masked_pixels import (
    MaskedPixels,
    from_target,
    labelled,
    pasted,
    to_target,
)
from mae_core.patches import gather_patches, grid_size, patchify


class MaskedConv(MaskedPixels):
    """A ConvNet of timm on visible patches, a decoder, loss on the pixels of the masked ones.

    Patches are as large as the encoder's last stride. Its layers see visible places only
    (:mod:`mae_core.methods.masked_layers`).

    A subclass has a `decoder`, whose output for an image does not depend on those beside it, and
    :meth:`predict`.

    Args:
        encoder: a ResNet, ConvNeXt or ConvNeXt V2 of timm.
        mask_ratio: share of masked patches, 0 to below 1. With 0 the loss is over all patches.
        norm_pix_loss: predict pixels normalised by each patch's mean and deviation.

    Attributes:
        patch_size: in pixels.
        grid: patches down and across.

    Raises:
        UserError: if the encoder has layers that cannot be masked or images of less than two
            patches, or the ratio masks all.
    """

    decoder: nn.Module

    def __init__(self, encoder: Encoder, mask_ratio: float, norm_pix_loss: bool) -> None:
        super().__init__()
        who = f"the method {self.name}"
        if encoder.family != "timm":
            raise UserError(
                f"{who} is for ConvNets: take an encoder.arch such as timm:convnextv2_atto or "
                f"timm:resnet50, in place of one of the family '{encoder.family}'"
            )
        check_layers(encoder.get_submodule("model"), who)
        self.patch_size = self.square = encoder.strides[-1]
        height, width = encoder.img_size
        self.grid = grid_size(height, width, self.patch_size)
        patches = self.grid[0] * self.grid[1]
        if patches < 2:
            raise UserError(
                f"{who} masks patches of the encoder's last stride, {self.patch_size} pixels, of "
                f"which images of {height}×{width} have {patches}: choose a larger "
                "encoder.img_size, or fewer strides by encoder.options (for ConvNeXt patch_size=1)"
            )
        if isinstance(mask_ratio, bool) or not isinstance(mask_ratio, int | float):
            raise UserError(f"mask_ratio={mask_ratio!r}: expected a number")
        visible_patches(patches, mask_ratio)
        self.encoder = encoder
        self.mask_ratio, self.norm_pix_loss = mask_ratio, norm_pix_loss
        self.config: dict[str, Any] = {"mask_ratio": mask_ratio, "norm_pix_loss": norm_pix_loss}

    def predict(self, images: Tensor, visible: Visible) -> Tensor:
        """Every patch's pixels, in target units, from the visible ones.

        Args:
            images: (N, C, H, W) float, normalised.
            visible: the places that the encoder may see.

        Returns:
            (N, L, p*p*C), as :func:`mae_core.patches.patchify` orders them.
        """
        raise NotImplementedError

    def forward(self, images: Tensor, noise: Tensor) -> MAEOutput:
        """One step on images (N, C, H, W) float; sides are multiples of the patch.

        Of `noise` (N, L) in [0, 1), one draw a patch, the smallest stay visible.
        """
        grid = self.grid_of(images)
        keep, hidden, mask = mask_patches(noise, grid, self.mask_ratio)
        pred = self.predict(images, Visible(mask.unflatten(1, grid) == 0))
        scored = hidden if hidden.shape[1] else keep
        target = gather_patches(patchify(images, self.patch_size), scored)
        found = gather_patches(pred, scored).float()
        loss = F.mse_loss(found, to_target(target, self.norm_pix_loss))
        return MAEOutput(loss, pred, mask)

    def compile(self, *args: Any, **options: Any) -> None:
        """Have the decoder compiled; the encoder's layers are other ones in each step."""
        self.decoder.compile(*args, **options)

    @torch.no_grad()
    def picture(self, pixels: Tensor, normalize: Normalize, seed: int = 0) -> dict[str, Tensor]:
        """The images, what the encoder sees of them, predictions, and these pasted where masked.

        Args:
            pixels: (N, C, H, W) uint8.
            normalize: to what the encoder sees, and back.
            seed: of the masks.
        """
        self.eval()
        images = normalize.images(pixels.to(next(self.parameters()).device))
        out = self(images, self.picture_noise(len(images), seed).to(images.device))
        shown = from_target(out.pred, images, self.patch_size, self.norm_pix_loss)
        predicted = normalize.restore(shown).cpu()
        parts = pasted(pixels.cpu(), predicted, out.mask.cpu(), self.patch_size)
        return {"original": pixels, **labelled(parts, self.mask_ratio)}


def init_convolutions(decoder: nn.Module) -> None:
    """Normal weights of deviation 0.02, cut off, and no biases, as ConvNeXt begins."""
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
