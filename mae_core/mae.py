"""The Masked Autoencoder (He et al. 2021, arXiv 2111.06377): encoder, light decoder, loss."""

from typing import NamedTuple

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mae_core.encoder import LayerNorm, ViTEncoder, init_weights
from mae_core.errors import UserError
from mae_core.masking import random_masking
from mae_core.patches import gather_patches, patchify, unpatchify
from mae_core.positions import sincos_positions

TARGET_EPS = 1e-6  # added to a patch's variance before the square root


class MAEOutput(NamedTuple):
    """Result of one pretraining step.

    Attributes:
        loss: () float32, mean squared error over masked patches.
        pred: (N, L, p*p*C), every patch's prediction, in target units.
        mask: (N, L) float32, 1 where masked.
    """

    loss: Tensor
    pred: Tensor
    mask: Tensor


class Decoder(nn.Module):
    """Narrow transformer from visible tokens to the pixels of every patch (paper, 3)."""

    def __init__(
        self, encoder: ViTEncoder, width: int, depth: int, heads: int, in_chans: int
    ) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"{heads} decoder heads do not divide the decoder width {width}")
        self.embed = nn.Linear(encoder.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(sincos_positions(encoder.grid, width), requires_grad=False)
        self.blocks = nn.ModuleList(
            Block(width, heads, qkv_bias=True, norm_layer=LayerNorm) for _ in range(depth)
        )
        self.norm = LayerNorm(width)
        self.pred = nn.Linear(width, encoder.patch_size**2 * in_chans)
        init_weights(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, latent: Tensor, restore: Tensor) -> Tensor:
        """Latent (N, 1 + K, D) and places (N, L) -> predicted patches (N, L, p*p*C)."""
        tokens = self.embed(latent)
        visible = tokens[:, 1:]
        n, length = restore.shape
        masked = self.mask_token.to(tokens.dtype).expand(n, length - visible.shape[1], -1)
        patches = gather_patches(torch.cat([visible, masked], dim=1), restore)
        tokens = torch.cat([tokens[:, :1], patches], dim=1) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        return self.pred(self.norm(tokens[:, 1:]))


class MAE(nn.Module):
    """Encoder on visible patches, decoder on all, loss on masked ones.

    Args:
        encoder: the encoder to pretrain.
        mask_ratio: share of masked patches (paper, 4.1: 0.75).
        norm_pix_loss: predict pixels normalised by each patch's mean and deviation.
        decoder_width, decoder_depth, decoder_heads: the decoder's size.
    """

    def __init__(
        self,
        encoder: ViTEncoder,
        mask_ratio: float = 0.75,
        norm_pix_loss: bool = True,
        decoder_width: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(
            encoder, decoder_width, decoder_depth, decoder_heads, encoder.config["in_chans"]
        )
        self.mask_ratio = mask_ratio
        self.norm_pix_loss = norm_pix_loss

    def forward(self, images: Tensor, noise: Tensor | None = None) -> MAEOutput:
        """One step on images (N, C, H, W) float of the encoder's size.

        `noise` (N, L) replaces the random draw; the patches of smallest noise stay visible.
        """
        h, w = self.encoder.grid
        if noise is None:
            noise = torch.rand(len(images), h * w, device=images.device)
        masking = random_masking(noise, self.mask_ratio)
        pred = self.decoder(self.encoder(images, masking.keep), masking.restore)
        error = (pred.float() - self.target(images)).square().mean(dim=-1)
        loss = (error * masking.mask).sum() / masking.mask.sum().clamp(min=1)
        return MAEOutput(loss, pred, masking.mask)

    def target(self, images: Tensor) -> Tensor:
        """What the decoder has to predict: (N, L, p*p*C) float32."""
        target = patchify(images.float(), self.encoder.patch_size)
        if self.norm_pix_loss:
            mean, std = patch_statistics(target)
            target = (target - mean) / std
        return target

    def pixels(self, images: Tensor, pred: Tensor) -> Tensor:
        """A prediction as an image (N, C, H, W) in the units of `images`.

        Normalised predictions take each patch's true mean and deviation, as the paper's figures do.
        """
        pred = pred.float()
        if self.norm_pix_loss:
            mean, std = patch_statistics(patchify(images.float(), self.encoder.patch_size))
            pred = pred * std + mean
        return unpatchify(pred, self.encoder.patch_size, *images.shape[-2:])


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased deviation of each patch, (N, L, 1) both."""
    var, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return mean, (var + TARGET_EPS).sqrt()
