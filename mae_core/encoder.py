"""The one encoder of the project: a plain ViT on timm blocks.

It sees a subset of the patches (pretraining), all of them (classification) or images of another
size (detection, segmentation). Parameters carry timm's names.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from timm.layers import PatchEmbed, resample_abs_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from mae_core.drop_path import replace_paths
from mae_core.errors import UserError
from mae_core.patches import gather_patches, grid_size, patchify
from mae_core.positions import sincos_positions

MOST = {"depth": 1000, "heads": 1 << 12, "in_chans": 1 << 10}  # others 65536
PATCHES = 1 << 20  # of an image, at most

LayerNorm: Any = partial(
    nn.LayerNorm, eps=1e-6
)  # what MAE weights were trained with; torch has 1e-5


class ViTEncoder(nn.Module):
    """Vision Transformer (Dosovitskiy et al. 2020) with a class token.

    Positions begin as sines and cosines and stay fixed, unless who trains it makes them learnt.

    Positions of a grid of another size are resampled, or with `tile_positions` repeated.

    Args:
        img_size: pixels, one number or (H, W).
        patch_size: pixels a side.
        in_chans: input channels.
        width: channels of a token; `heads` must divide it, and so must 4.
        depth: number of blocks.
        heads: attention heads.
        mlp_ratio: hidden width of the MLP over `width`.
        drop_path: stochastic depth of the last block, growing linearly from 0.

    Raises:
        UserError: if the sizes do not fit together.
    """

    tile_positions = False

    def __init__(
        self,
        img_size: int | Sequence[int] = 224,
        patch_size: int = 16,
        in_chans: int = 3,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.img_size = to_pair(img_size)
        check_counts(
            {"patch_size": patch_size, "in_chans": in_chans, "width": width, "depth": depth}
            | {
                "heads": heads,
                "img_size": min(self.img_size),
                "img_size, larger": max(self.img_size),
            }
        )
        if not isinstance(mlp_ratio, int | float) or not 0 < mlp_ratio <= 64:
            raise UserError(f"mlp_ratio={mlp_ratio!r}: expected a number above 0, at most 64")
        if not isinstance(drop_path, int | float) or not 0 <= drop_path < 1:
            raise UserError(f"drop_path={drop_path!r}: expected a number from 0 to below 1")
        if width % heads:
            raise UserError(f"{heads} heads do not divide the width {width}")
        self.config: dict[str, Any] = {
            "img_size": list(self.img_size),
            "patch_size": patch_size,
            "in_chans": in_chans,
            "width": width,
            "depth": depth,
            "heads": heads,
            "mlp_ratio": mlp_ratio,
        }
        self.patch_size, self.width, self.depth = patch_size, width, depth
        self.grid = grid_size(*self.img_size, patch_size)
        if self.grid[0] * self.grid[1] > PATCHES:
            raise UserError(f"images of {self.grid[0]}×{self.grid[1]} patches: at most {PATCHES:,}")
        self.patch_embed = PatchEmbed(self.img_size, patch_size, in_chans, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(sincos_positions(self.grid, width), requires_grad=False)
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                mlp_ratio,
                qkv_bias=True,
                norm_layer=LayerNorm,
                drop_path=drop_path * i / max(depth - 1, 1),
            )
            for i in range(depth)
        )
        replace_paths(self.blocks)
        self.norm = LayerNorm(width)
        init_weights(self)
        nn.init.normal_(self.cls_token, std=0.02)

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Normalised tokens (N, 1 + K, width), class token first.

        Args:
            images: (N, C, H, W) float; both sides are multiples of the patch.
            keep: (N, K) int64, the patches to look at; all of them without it.
        """
        return self.norm(self.tokens(images, keep))

    def tokens(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """As :meth:`forward`, before the final norm."""
        tokens = self.embed(images, keep)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def feature_maps(self, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Patch tokens (N, width, h, w) after each block in `layers` (0 to depth - 1).

        The last block's map is normalised; earlier ones are as the block left them.
        """
        h, w = grid_size(images.shape[-2], images.shape[-1], self.patch_size)
        tokens, maps = self.embed(images), []
        for i, block in enumerate(self.blocks):
            tokens = block(tokens)
            if i in layers:
                maps.append(self.as_map(tokens[:, 1:], i, (h, w)))
        return maps

    def as_map(self, tokens: Tensor, layer: int, grid: tuple[int, int]) -> Tensor:
        """(N, h*w, width) patch tokens after block `layer` -> (N, width, h, w), the last normed."""
        out = self.norm(tokens) if layer == self.depth - 1 else tokens
        return out.transpose(1, 2).unflatten(2, grid).contiguous()

    def embed(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens (N, 1 + K, width) as the first block takes them, positions added."""
        patches = patchify(images, self.patch_size)  # (N, L, p*p*C)
        positions = self._positions(grid_size(images.shape[-2], images.shape[-1], self.patch_size))
        here = positions[:, 1:]
        if keep is not None:
            patches = gather_patches(patches, keep)
            here = gather_patches(here.expand(len(keep), -1, -1), keep)
        proj = self.patch_embed.proj  # a convolution's weight; applied as a linear layer
        weight = proj.weight.permute(0, 2, 3, 1).flatten(1)
        tokens = F.linear(patches, weight, proj.bias) + here
        cls = (self.cls_token + positions[:, :1]).expand(len(tokens), -1, -1).to(tokens.dtype)
        return torch.cat([cls, tokens], dim=1)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        if grid == self.grid:
            return self.pos_embed
        if self.tile_positions:
            times = [-(-side // own) for side, own in zip(grid, self.grid, strict=True)]
            own = self.pos_embed[:, 1:].unflatten(1, self.grid)
            tiled = own.repeat(1, *times, 1)[:, : grid[0], : grid[1]].flatten(1, 2)
            return torch.cat([self.pos_embed[:, :1], tiled], dim=1)
        return resample_abs_pos_embed(self.pos_embed, list(grid), list(self.grid))


def init_weights(module: nn.Module) -> None:
    """Xavier-uniform linear layers, the patch embedding as one of them (paper, A.1)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, PatchEmbed):
            nn.init.xavier_uniform_(layer.proj.weight.flatten(1))


def check_counts(sizes: Mapping[str, Any]) -> None:
    """Raise UserError unless all sizes are whole numbers from 1 to what a model can have."""
    for name, value in sizes.items():
        most = MOST.get(name.removeprefix("decoder_"), 1 << 16)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise UserError(f"{name}={value!r}: expected a whole number from 1 to {most}")


def to_pair(size: int | Sequence[int]) -> tuple[int, int]:
    """One number or (H, W) -> (H, W). Raises UserError for anything else."""
    pair = (size, size) if isinstance(size, int) else size
    whole = isinstance(pair, Sequence) and all(isinstance(side, int) for side in pair)
    if not whole or isinstance(size, bool | str) or len(pair) != 2:
        raise UserError(f"img_size={size!r}: expected one whole number, or height and width")
    return pair[0], pair[1]
