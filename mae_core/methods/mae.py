"""The Masked Autoencoder (He et al. 2021, arXiv 2111.06377): encoder, light decoder, loss."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from mae_core.data.normalize import Normalize
from mae_core.encoders.base import Encoder
from mae_core.encoders.registry import ARCHITECTURES, create_encoder, encoder_fields
from mae_core.encoders.vit import LayerNorm, check_counts, init_weights
from mae_core.errors import UserError, check_fields, suggest
from mae_core.masking import STRATEGIES, mask_patches, visible_patches
from mae_core.methods.masked_pixels import (
    MaskedPixels,
    from_target,
    labelled,
    pasted,
    to_target,
)
from mae_core.methods.registry import method_fields, register_method
from mae_core.patches import gather_patches, patchify
from mae_core.positions import sincos_positions

OBJECTIVES = {"mse": F.mse_loss, "smooth_l1": F.smooth_l1_loss}


class MAEOutput(NamedTuple):
    """Result of one pretraining step.

    Attributes:
        loss: () float32, mean over the pixels of the masked patches that were decoded.
        pred: (N, L, p*p*C), every patch's prediction, in target units; 0 where not decoded.
        mask: (N, L) float32, 1 where masked.
    """

    loss: Tensor
    pred: Tensor
    mask: Tensor


class Decoder(nn.Module):
    """Narrow transformer from visible tokens to the pixels of chosen patches (paper, 3)."""

    def __init__(self, encoder: Encoder, width: int, depth: int, heads: int, in_chans: int) -> None:
        super().__init__()
        check_decoder(width, depth, heads)
        self.grid = encoder.grid
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

    def forward(self, latent: Tensor, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens of K visible patches, and where patches lie -> their pixels.

        Args:
            latent: (N, 1 + K, D), class token first.
            patches: (N, P) int64 with P >= K: first the visible patches as in `latent`, then the
                masked ones to decode. Attention does not care for their order.
            grid: of all patches, down and across; positions are resampled to another than the
                encoder's.

        Returns:
            (N, P, p*p*C) in the order of `patches`.
        """
        tokens = self.embed(latent)
        n, masked = len(tokens), 1 + patches.shape[1] - tokens.shape[1]
        tokens = torch.cat([tokens, self.mask_token.to(tokens.dtype).expand(n, masked, -1)], dim=1)
        places = F.pad(patches + 1, (1, 0))  # the class token's is 0
        positions = self.pos_embed
        if grid != self.grid:
            positions = resample_abs_pos_embed(positions, list(grid), list(self.grid))
        tokens = tokens + gather_patches(positions.expand(n, -1, -1), places)
        for block in self.blocks:
            tokens = block(tokens)
        return self.pred(self.norm(tokens[:, 1:]))


def check_decoder(width: int, depth: int, heads: int) -> None:
    """Raise UserError unless a decoder of Transformer blocks can have these sizes."""
    check_counts({"decoder_width": width, "decoder_depth": depth, "decoder_heads": heads})
    if width % heads:
        raise UserError(f"{heads} decoder heads do not divide the decoder width {width}")


@register_method("mae")
class MAE(MaskedPixels):
    """Encoder on visible patches, decoder on all, loss on masked ones.

    Args:
        encoder: the encoder to pretrain, one that can look at some patches only.
        mask_ratio: share of masked patches (paper, 4.1: 0.75), 0 to 0.95. With 0 the loss is over
            all patches, a plain autoencoder's.
        masking: 'random', 'block' or 'grid' (paper, Fig. 6).
        norm_pix_loss: predict pixels normalised by each patch's mean and deviation.
        objective: 'mse', or 'smooth_l1' (quadratic up to a difference of 1).
        decode_ratio: share of the masked patches that a training step decodes, above 0 to 1; a
            smaller one is cheaper (CrossMAE, arXiv 2401.14391, 3.3). Evaluation decodes all.
        decoder_width, decoder_depth, decoder_heads: the decoder's size.

    Raises:
        UserError: if a value is out of range or sizes do not fit together.
    """

    sizes = ("decoder_width", "decoder_depth", "decoder_heads")

    def __init__(
        self,
        encoder: Encoder,
        mask_ratio: float = 0.75,
        masking: str = "random",
        norm_pix_loss: bool = True,
        objective: str = "mse",
        decode_ratio: float = 1.0,
        decoder_width: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
    ) -> None:
        super().__init__()
        encoder.require("keep", "the method mae")
        for name, value, known in (
            ("masking", masking, STRATEGIES),
            ("objective", objective, OBJECTIVES),
        ):
            if not isinstance(value, str) or value not in known:
                raise UserError(f"no {name} is called '{value}'{suggest(str(value), known)}")
        for name, ratio in (("mask_ratio", mask_ratio), ("decode_ratio", decode_ratio)):
            if not isinstance(ratio, int | float):
                raise UserError(f"{name}={ratio!r}: expected a number")
        if not 0 < decode_ratio <= 1:
            raise UserError(f"decode_ratio {decode_ratio}: choose above 0 to 1")
        visible_patches(encoder.grid[0] * encoder.grid[1], mask_ratio)
        self.encoder, self.grid, self.square = encoder, encoder.grid, encoder.patch_size
        self.decoder = Decoder(
            encoder, decoder_width, decoder_depth, decoder_heads, encoder.config["in_chans"]
        )
        self.mask_ratio, self.masking = mask_ratio, masking
        self.norm_pix_loss, self.objective = norm_pix_loss, objective
        self.decode_ratio = decode_ratio
        self.config: dict[str, Any] = {
            "mask_ratio": mask_ratio,
            "masking": masking,
            "norm_pix_loss": norm_pix_loss,
            "objective": objective,
            "decode_ratio": decode_ratio,
            "decoder_width": decoder_width,
            "decoder_depth": decoder_depth,
            "decoder_heads": decoder_heads,
        }

    def forward(self, images: Tensor, noise: Tensor | None = None) -> MAEOutput:
        """One step on images (N, C, H, W) float; sides are multiples of the patch.

        `noise` (N, L) in [0, 1) replaces the random draw of the masks; with random masking the
        patches of smallest noise stay visible.
        """
        grid = self.grid_of(images)
        length = grid[0] * grid[1]
        if noise is None:
            noise = torch.rand(len(images), length, device=images.device)
        keep, hidden, mask = mask_patches(noise, grid, self.mask_ratio, self.masking)
        if self.training and self.decode_ratio < 1:
            hidden = random_part(hidden, noise, self.decode_ratio)
        patches = torch.cat([keep, hidden], dim=1)
        pred = self.decoder(self.encoder(images, keep), patches, grid)
        scored = slice(keep.shape[1] if hidden.shape[1] else 0, None)
        target = gather_patches(patchify(images, self.encoder.patch_size), patches[:, scored])
        loss = OBJECTIVES[self.objective](pred[:, scored].float(), self.to_target(target))
        return MAEOutput(loss, scatter_patches(pred, patches, length), mask)

    def picture(
        self,
        pixels: Tensor,
        normalize: Normalize,
        seed: int = 0,
        mask_ratios: Sequence[float] | None = None,
    ) -> dict[str, Tensor]:
        """The images, then for each mask ratio what the encoder sees, and predictions.

        Those of all patches, and those with the visible patches pasted over them.

        Args:
            pixels: (N, C, H, W) uint8 or float32.
            normalize: to what the encoder sees, and back.
            seed: of the masks.
            mask_ratios: the model's own without them.
        """
        rows = {"original": pixels}
        for ratio in mask_ratios or [self.mask_ratio]:
            parts = reconstruct(self, normalize, pixels, seed, ratio)
            rows |= labelled(parts, ratio)
        return rows

    def target(self, images: Tensor) -> Tensor:
        """What the decoder has to predict: (N, L, p*p*C) float32."""
        return self.to_target(patchify(images, self.encoder.patch_size))

    def to_target(self, patches: Tensor) -> Tensor:
        """Patches of pixels (N, P, p*p*C) -> what the decoder has to predict, float32."""
        return to_target(patches, self.norm_pix_loss)

    def pixels(self, images: Tensor, pred: Tensor) -> Tensor:
        """A prediction as an image (N, C, H, W) in the units of `images`.

        Normalised predictions take each patch's true mean and deviation, as the paper's figures do.
        """
        return from_target(pred, images, self.encoder.patch_size, self.norm_pix_loss)


@torch.no_grad()
def reconstruct(
    mae: MAE,
    normalize: Normalize,
    pixels: Tensor,
    seed: int = 0,
    mask_ratio: float | None = None,
) -> dict[str, Tensor]:
    """'masked', 'predicted' and 'pasted', each (N, C, H, W) as `pixels`.

    Raises:
        UserError: if the ratio leaves no patch visible.
    """
    mae.eval()
    trained_with = mae.mask_ratio
    mae.mask_ratio = trained_with if mask_ratio is None else mask_ratio
    device = next(mae.parameters()).device
    images = normalize.images(pixels.to(device))
    noise = mae.picture_noise(len(images), seed)
    out = mae.forward(images, noise.to(device))  # a compiled one would be compiled anew for this
    mae.mask_ratio = trained_with
    predicted = normalize.restore(mae.pixels(images, out.pred), pixels.dtype).cpu()
    return pasted(pixels.cpu(), predicted, out.mask.cpu(), mae.encoder.patch_size)


def random_part(patches: Tensor, noise: Tensor, share: float) -> Tensor:
    """At least one of `patches` (N, M), if there is any, chosen by each image's own noise.

    Args:
        patches: int64, places in `noise`.
        noise: (N, L) float in [0, 1), which has chosen the masks too.
        share: of the patches, 0 to 1.
    """
    # The noise's high bits chose the mask; its low ones are as good as a second draw.
    chosen = (noise.gather(1, patches) * 4096).frac().argsort(dim=1, stable=True)
    return patches.gather(1, chosen[:, : max(round(patches.shape[1] * share), 1)])


def scatter_patches(values: Tensor, patches: Tensor, length: int) -> Tensor:
    """Put `values` (N, P, D) at `patches` (N, P) of (N, length, D), which is 0 elsewhere."""
    n, _, size = values.shape
    index = patches.unsqueeze(-1).expand(-1, -1, size)
    return values.new_zeros(n, length, size).scatter(1, index, values)


MAE_FIELDS = method_fields(MAE)


def create_model(arch: str, **overrides: Any) -> MAE:
    """The masked autoencoder around encoder `arch`.

    Overrides are arguments of :class:`MAE` or of the encoder. The decoder is 512 wide and 8 blocks
    deep (paper, 4.1) unless overridden.

    Raises:
        UserError: for an unknown name or argument, with the nearest valid one.
    """
    known = (*MAE_FIELDS, *encoder_fields(ARCHITECTURES[arch].family))
    check_fields(overrides, known, "model")
    mae = {key: overrides.pop(key) for key in MAE_FIELDS if key in overrides}
    return MAE(create_encoder(arch, **overrides), **mae)
