"""The family 'vit': a plain ViT on timm blocks, of the sizes of the paper and smaller ones.

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
from mae_core.encoders.base import Encoder, Part, to_pair
from mae_core.encoders.registry import register_encoder
from mae_core.errors import UserError
from mae_core.fitting import fit_channels, fit_patches, fit_positions, rgb_places
from mae_core.grids import image_size
from mae_core.grids import patch_size as stored_patch_size
from mae_core.patches import gather_patches, grid_size, patchify
from mae_core.positions import sincos_positions
from mae_core.reading import VIT

MOST = {"depth": 1000, "heads": 1 << 12, "in_chans": 1 << 10}  # others 65536
PATCHES = 1 << 20  # of an image, at most

LayerNorm: Any = partial(
    nn.LayerNorm, eps=1e-6
)  # what MAE weights were trained with; torch has 1e-5

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "vit-micro-p6": {"patch_size": 6, "width": 96, "depth": 6, "heads": 3},
    "vit-tiny-p16": {"patch_size": 16, "width": 192, "depth": 12, "heads": 3},
    "vit-small-p16": {"patch_size": 16, "width": 384, "depth": 12, "heads": 6},
    "vit-base-p16": {"patch_size": 16, "width": 768, "depth": 12, "heads": 12},
    "vit-large-p16": {"patch_size": 16, "width": 1024, "depth": 24, "heads": 16},
    "vit-huge-p14": {"patch_size": 14, "width": 1280, "depth": 32, "heads": 16},
}
POOLS = ("avg", "cls", "cls+avg", "own")  # of one block, see pool_tokens
BOUND = ("patch_size", "width", "depth", "heads")  # the first can be resampled


@register_encoder(VIT, ARCHITECTURES)
class ViTEncoder(Encoder):
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
        rgb_bands: `red`, `green` and `blue`: the channels, from 0, that weights for RGB see them
            in; see :func:`mae_core.fitting.fit_channels`.

    Raises:
        UserError: if the sizes do not fit together.
    """

    offers = Encoder.offers | {"keep", "half_block", "attention", "plain"}
    tile_positions = False
    norm: nn.Module

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
        rgb_bands: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.img_size = to_pair(img_size)
        check_counts(
            {"patch_size": patch_size, "in_chans": in_chans, "width": width, "depth": depth}
            | {"heads": heads}
            | {"img_size": min(self.img_size), "img_size, larger": max(self.img_size)}
        )
        if not isinstance(mlp_ratio, int | float) or not 0 < mlp_ratio <= 64:
            raise UserError(f"mlp_ratio={mlp_ratio!r}: expected a number above 0, at most 64")
        if not isinstance(drop_path, int | float) or not 0 <= drop_path < 1:
            raise UserError(f"drop_path={drop_path!r}: expected a number from 0 to below 1")
        if width % heads:
            raise UserError(f"{heads} heads do not divide the width {width}")
        self.rgb_places = rgb_places(rgb_bands, in_chans)
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
        self.widths, self.strides = (width,) * depth, (patch_size,) * depth
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

    def pooled(
        self,
        images: Tensor,
        pool: str = "avg",
        norm_last: bool = False,
        layer: int | None = None,
    ) -> Tensor:
        """One vector for each of the normalised images (N, C, H, W).

        Args:
            images: float.
            pool: 'avg', 'cls', 'cls+avg' or 'own', see :func:`pool_tokens`; or such as 'last4': the
                class tokens of the last four blocks, the last one at the end, then the mean of the
                last one's patches, all after the final norm (DINOv2's `create_linear_input`).
            norm_last: whether 'avg' and 'cls' pool first and norm then.
            layer: the block that the tokens come from, after the final norm (as DINOv2's
                `get_intermediate_layers` gives them); the last one without it. Not for 'last<n>'.

        Returns:
            (N, :meth:`pooled_width`).
        """
        blocks = last_blocks(pool)
        if blocks:
            return self.last_pooled(images, blocks)
        if layer is None:
            tokens = self.tokens(images)
        else:
            tokens = self.embed(images)
            for block in self.blocks[: layer + 1]:
                tokens = block(tokens)
        if norm_last and pool != "cls+avg":
            return self.norm(pool_tokens(tokens, pool))
        return pool_tokens(self.norm(tokens), pool)

    def last_pooled(self, images: Tensor, blocks: int) -> Tensor:
        """As :meth:`pooled` with 'last<blocks>'."""
        tokens, parts = self.embed(images), []
        for number, block in enumerate(self.blocks, start=1):
            tokens = block(tokens)
            if number > self.depth - blocks:
                parts.append(self.norm(tokens[:, 0]))
        return torch.cat([*parts, pool_tokens(self.norm(tokens), "avg")], dim=1)

    def pooled_layers(self, images: Tensor, pool: str = "avg") -> list[Tensor]:
        """What :meth:`pooled` gives of each block, in one pass."""
        tokens, found = self.embed(images), []
        for block in self.blocks:
            tokens = block(tokens)
            found.append(pool_tokens(self.norm(tokens), pool))
        return found

    def pooled_width(self, pool: str, layer: int | None = None) -> int:
        """Channels of :meth:`pooled`. Raises UserError for no pooling, or of too many blocks."""
        blocks = last_blocks(pool)
        if blocks > self.depth:
            raise UserError(f"pool='{pool}': the encoder has {self.depth} blocks")
        if layer is not None:
            self.checked_layer(layer)
        if blocks and layer is not None:
            raise UserError(
                f"pool='{pool}' takes the last blocks, layer={layer} another one: leave layer=None "
                "or take another pool, such as 'cls'"
            )
        return (2 if pool == "cls+avg" else blocks + 1) * self.width

    def parts(self) -> list[Part]:
        """Embedding, class token and positions; each block; the final norm."""
        first = (self.patch_embed, self.cls_token, self.pos_embed)
        return [first, *((block,) for block in self.blocks), (self.norm,)]

    def half_block(self) -> Part:
        """The MLP of the last block, with its norm (paper, 4.3)."""
        last: Any = self.blocks[-1]
        return (last.norm2, last.mlp)

    def no_weight_decay(self) -> set[str]:
        """The class token and the positions."""
        return {"cls_token", "pos_embed"}

    def bound(self, resample_patches: bool = False) -> dict[str, Any]:
        """Sizes of tokens and blocks, and of patches unless they may be resampled."""
        return {key: self.config[key] for key in BOUND[resample_patches:]}

    def fit(
        self, state: dict[str, Tensor], about: dict[str, Any], resample_patches: bool = False
    ) -> list[str]:
        """Positions to the grid, RGB weights to the channels, also a decoder's; and patches."""
        old = None
        if about.get("encoder") or about.get("image_size"):
            old = grid_size(*image_size(state, about), stored_patch_size(state))
        return [
            *fit_positions(state, self.grid, old),
            *fit_channels(state, self.config["in_chans"], self.rgb_places),
            *(fit_patches(state, self.patch_size) if resample_patches else []),
        ]

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

    @torch.inference_mode()
    def class_attention(self, images: Tensor) -> Tensor:
        """What the class token takes from each patch in the last block, (N, heads, h, w)."""
        layer: Any = self.blocks[-1].attn
        seen: list[Tensor] = []
        handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        self.tokens(images)
        handle.remove()
        grid = grid_size(images.shape[-2], images.shape[-1], self.patch_size)
        return attention(layer, seen[0])[:, :, 0, 1:].unflatten(-1, grid)

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


def pool_tokens(tokens: Tensor, pool: str) -> Tensor:
    """(N, 1 + L, D) -> (N, D), or (N, 2 D).

    'avg' is the mean over patches, 'cls' the class token, 'cls+avg' one after the other, and 'own'
    the class token: so does the linear probe of facebookresearch/mae (`--cls_token` is its default
    in main_linprobe.py), which like all that takes a `pool` here leaves the encoder as it is.
    """
    parts = []
    if pool != "avg":
        parts.append(tokens[:, 0])
    if pool in ("avg", "cls+avg"):
        parts.append(tokens[:, 1:].mean(dim=1))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def last_blocks(pool: str) -> int:
    """How many blocks `pool` takes: 4 for 'last4', 0 for those of :data:`POOLS`.

    Raises:
        UserError: if it is none of these.
    """
    number = pool.removeprefix("last")
    if pool in POOLS:
        return 0
    if number == pool or not number.isdecimal() or int(number) < 1:
        names = ", ".join(repr(name) for name in POOLS)
        raise UserError(f"pool='{pool}': expected {names}, or 'last' and a number of blocks")
    return int(number)


def attention(layer: Any, tokens: Tensor) -> Tensor:
    """Attention weights (N, heads, T, T) of timm's `Attention` on its input (N, T, width).

    Row i says how much of each token's value goes into token i; it sums to 1.
    """
    qkv = layer.qkv(tokens).unflatten(-1, (3, layer.num_heads, layer.head_dim))
    q, k = (layer.scale**0.5 * part.transpose(1, 2) for part in qkv.unbind(2)[:2])
    return (q @ k.mT).softmax(dim=-1)


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
