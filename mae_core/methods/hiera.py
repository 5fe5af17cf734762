"""MAE on Hiera (Ryali et al. 2023, arXiv 2306.00989, 3): mask units stay out of the encoder."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from timm.models.hiera import Hiera
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mae_core.encoders.base import Encoder
from mae_core.encoders.vit import LayerNorm, init_weights
from mae_core.errors import UserError
from mae_core.methods.mae import check_decoder
from mae_core.methods.masked_units import MaskedUnits
from mae_core.methods.registry import register_method
from mae_core.positions import sincos_positions


class Fusion(nn.Module):
    """One vector for each place of the last map, from it and from the finer maps beneath.

    Args:
        widths: channels of the maps, the finest first.
        sides: of a mask unit in places of these maps, such as 8, 4, 2, 1.
    """

    def __init__(self, widths: Sequence[int], sides: Sequence[int]) -> None:
        super().__init__()
        self.cells = [side // sides[-1] for side in sides[:-1]]
        self.project = nn.ModuleList(
            nn.Linear(cell * cell * width, widths[-1])
            for cell, width in zip(self.cells, widths, strict=False)
        )
        self.norm = LayerNorm(widths[-1])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (N, K, side, side, width) of K mask units -> (N, K, s, s, D), s the last side."""
        fused = maps[-1]
        for project, cell, one in zip(self.project, self.cells, maps, strict=False):
            n, units, side, _, width = one.shape
            cells = one.reshape(n, units, side // cell, cell, side // cell, cell, width)
            fused = fused + project(cells.transpose(3, 4).flatten(4))
        found: Tensor = self.norm(fused)
        return found


class UnitDecoder(nn.Module):
    """Transformer from maps of the visible mask units to the pixels of all places of the last one.

    Args:
        widths, sides: see :class:`Fusion`.
        grid: mask units down and across.
        width, depth, heads: of the blocks.
        pixels: that a place stands for, times the channels.
    """

    def __init__(
        self,
        widths: Sequence[int],
        sides: Sequence[int],
        grid: tuple[int, int],
        width: int,
        depth: int,
        heads: int,
        pixels: int,
    ) -> None:
        super().__init__()
        check_decoder(width, depth, heads)
        places = grid[0] * sides[-1], grid[1] * sides[-1]
        self.fusion = Fusion(widths, sides)
        self.embed = nn.Linear(widths[-1], width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        positions = sincos_positions(places, width)[:, 1:]  # without the class token's
        self.pos_embed = nn.Parameter(positions, requires_grad=False)
        self.blocks = nn.Sequential(
            *(Block(width, heads, qkv_bias=True, norm_layer=LayerNorm) for _ in range(depth))
        )
        self.norm = LayerNorm(width)
        self.pred = nn.Linear(width, pixels)
        init_weights(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, maps: Sequence[Tensor], visible: Tensor) -> Tensor:
        """Maps of K visible units, row by row, and which these are -> (N, L, pixels).

        Args:
            maps: (N, K, side, side, width) each.
            visible: (N, h, w) bool, K of each image.
        """
        tokens = self.embed(self.fusion(maps))
        n, _, side, _, width = tokens.shape
        _, rows, columns = visible.shape
        places = self.mask_token.to(tokens.dtype).expand(n, rows, columns, side, side, width)
        inside = visible[:, :, :, None, None, None].expand_as(places)
        places = places.masked_scatter(inside, tokens)
        x = places.transpose(2, 3).reshape(n, rows * side * columns * side, width)
        found: Tensor = self.pred(self.norm(self.blocks(x + self.pos_embed)))
        return found


@register_method("hiera")
class HieraMAE(MaskedUnits):
    """Hiera on visible mask units, a decoder on all, loss on the pixels of the masked ones.

    Maps of all resolutions go into the decoder, of one resolution the last; defaults are those of
    the published pretrainings (transformers' configs of `facebook/hiera-*-224-mae-hf`).

    Args:
        encoder: a Hiera of timm.
        mask_ratio: share of masked units, 0 to below 1.
        norm_pix_loss: predict pixels normalised by each patch's mean and deviation.
        decoder_width, decoder_depth, decoder_heads: the decoder's size.

    Attributes:
        square: of a mask unit, in pixels.
        patch_size: pixels of a place of the last map.

    Raises:
        UserError: as :class:`MaskedUnits`, for another encoder, and for sizes that do not go
            together.
    """

    sizes = ("decoder_width", "decoder_depth", "decoder_heads")
    decoder: UnitDecoder

    def __init__(
        self,
        encoder: Encoder,
        mask_ratio: float = 0.6,
        norm_pix_loss: bool = True,
        decoder_width: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
    ) -> None:
        model = encoder.get_submodule("model") if encoder.family == "timm" else None
        if not isinstance(model, Hiera):
            raise UserError(
                f"the method {self.name} is for Hiera: take an encoder.arch such as "
                "timm:hiera_tiny_224; the method simmim takes any encoder"
            )
        check_units(model, f"the method {self.name}")
        first, patch_size = encoder.strides[0], encoder.strides[-1]
        square = first * model.mask_unit_size[0]
        super().__init__(encoder, square, patch_size, mask_ratio, norm_pix_loss)
        self.layers = [*range(model.q_pool), len(encoder.widths) - 1]
        widths = [encoder.widths[layer] for layer in self.layers]
        sides = [square // encoder.strides[layer] for layer in self.layers]
        self.decoder = UnitDecoder(
            widths,
            sides,
            self.grid,
            decoder_width,
            decoder_depth,
            decoder_heads,
            patch_size**2 * encoder.config["in_chans"],
        )
        self.config |= {
            "decoder_width": decoder_width,
            "decoder_depth": decoder_depth,
            "decoder_heads": decoder_heads,
        }

    def grid_of(self, images: Tensor) -> tuple[int, int]:
        """As :attr:`grid`, of images (N, C, H, W). Raises UserError for those of another size."""
        if images.shape[-2:] != self.encoder.img_size:
            raise UserError("a Hiera takes images of one size, encoder.img_size")
        return self.grid

    def predict(self, images: Tensor, visible: Tensor) -> Tensor:
        """See :meth:`MaskedUnits.predict`."""
        model: Any = self.encoder.get_submodule("model")
        maps = model.forward_intermediates(
            images,
            mask=visible.flatten(1),
            indices=self.layers,
            output_fmt="NHWC",  # with a mask: (N, K, side, side, width)
            intermediates_only=True,
        )
        found: Tensor = self.decoder(maps, visible)
        return found


def check_units(model: Hiera, who: str) -> None:
    """Raise UserError unless mask units are squares that timm's `Unroll` keeps together."""
    stages = len(model.stage_ends)
    for name in ("q_stride", "patch_stride"):
        sides = list(getattr(model, name))
        if sides[0] != sides[1]:
            raise UserError(f"{who} needs squares, found encoder.options.{name}={sides}")
    ends = [-1, *model.stage_ends]
    if any(end == before for before, end in pairwise(ends)) or not 0 <= model.q_pool < stages:
        raise UserError(
            f"{who} needs a block or more in each stage and 0 to {stages - 1} poolings, found "
            f"stages that end at the blocks {model.stage_ends} and encoder.options.q_pool="
            f"{model.q_pool}"
        )
    side = model.q_stride[0] ** (stages - 1)
    if any(one != side for one in model.mask_unit_size):
        raise UserError(
            f"{who} needs mask units of {side}×{side} tokens, found "
            f"encoder.options.mask_unit_size={list(model.mask_unit_size)}"
        )
