"""The one encoder as a backbone for mmdet and mmseg."""

from collections.abc import Sequence
from typing import Any, cast

from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from timm.layers import LayerScale
from torch import Tensor, nn

from downstream.dense.grid_attention import GridAttention
from downstream.dense.levels import check_layers
from downstream.dense.relative_bias import BiasedAttention
from downstream.dense.windows import Group, padded_layout, window_layout
from mae_core.agreement import outline
from mae_core.checkpoints import check_sizes, load_whole
from mae_core.encoders import create_encoder
from mae_core.encoders.vit import ViTEncoder
from mae_core.patches import grid_size


def place_encoder(config: Config, source: str) -> None:
    """Fill the encoder into the backbone, the neck and the segmentation head of `config.model`.

    Args:
        config: `encoder`, `pixels`, `model`, and `resample_patches` if the weights' patches may
            have another size.
        source: 'random', or the path of the encoder's file.
    """
    model = config.model
    resample = config.get("resample_patches", False)
    model.backbone.update(encoder=config.encoder, source=source, resample_patches=resample)
    model.data_preprocessor.update(config.pixels)
    encoder = outline(config.encoder)
    offer = "plain" if model.backbone.type == "MAEViT" else "maps"
    encoder.require(offer, f"the stage {config.stage}")
    check_layers(model.backbone.layers, encoder)
    place_widths(model, [encoder.widths[layer] for layer in model.backbone.layers])


def place_widths(model: Any, widths: list[int]) -> None:
    """Fill the channels of the maps into what takes them.

    Args:
        model: config of a detector, a segmentor, or another model with a `decode_head`.
        widths: of each of the backbone's maps.
    """
    neck = model.get("neck")
    kind = "" if neck is None else neck.type
    if kind in ("SimpleFeaturePyramid", "MapNorm"):
        neck.in_channels = widths[-1]
    elif kind == "FPN":
        neck.in_channels = widths
    elif kind == "Feature2Pyramid":
        neck.embed_dim = widths[-1]
    if kind in ("SimpleFeaturePyramid", "FPN"):
        return
    head, auxiliary = model.decode_head, model.get("auxiliary_head")
    several = isinstance(head.get("in_index"), list | tuple)
    head.in_channels = widths if several else widths[-1]
    if head.get("num_convs") == 0:  # a linear layer: its channels are the map's
        head.channels = widths[-1]
    if auxiliary:
        auxiliary.in_channels = widths[auxiliary.get("in_index", -1)]


@MODELS.register_module()
class MAEViT(BaseModule):
    """Patch tokens of chosen blocks as feature maps.

    Without windows and relative positions the features are those of the encoder. With either the
    class token is left out, as in ViTDet (arXiv 2203.16527).

    Args:
        encoder: fields of the encoder, as in :func:`mae_core.create_encoder`.
        source: 'random', or the path of the encoder's file; a missing weight is an error.
        layers: blocks whose output is returned, 0 to depth - 1.
        window: side of the windows in tokens; None for global attention in all blocks.
        global_blocks: blocks with global attention among windowed ones.
        relative_grid: side of the grid, in tokens, for which global blocks get relative positions;
            windowed ones get theirs too. None for no relative positions.
        resample_patches: whether weights for patches of another size may be resampled.
        frozen: whether the weights stay as they are.
        final_norm: whether the last block's map passes the encoder's final norm, as tokens do
            elsewhere; detectron2's ViTDet and mmsegmentation's MAE have none there.
        train_positions: whether absolute positions are trained; both of these do.
        pad_windows: whether windows at the edges are padded, as detectron2 does, or smaller.
        tile_positions: for images of another size than the encoder's, repeat its grid of positions
            instead of stretching it (Bolya et al. 2023, arXiv 2311.05613, for windows as large
            as that grid): a token has the same one in a crop and in the whole image.
        relative_bias: side of the grid, in tokens, for which all blocks learn biases of relative
            positions, see :class:`BiasedAttention`; without windows and `relative_grid`.
        layer_scale: whether the blocks' branches are scaled by learnt vectors of ones, as in
            mmsegmentation's MAE.

    Attributes:
        origin: where the weights are from, and what became of each key.

    Raises:
        UserError: if a block's number is out of range, or the file does not have every weight.
    """

    encoder: Any  # a plain ViT, into whose blocks windows and relative positions go

    def __init__(
        self,
        encoder: dict[str, Any],
        source: str,
        layers: Sequence[int],
        window: int | None = None,
        global_blocks: Sequence[int] = (),
        relative_grid: int | None = None,
        resample_patches: bool = False,
        frozen: bool = False,
        final_norm: bool = True,
        train_positions: bool = False,
        pad_windows: bool = False,
        tile_positions: bool = False,
        relative_bias: int | None = None,
        layer_scale: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(dict(encoder), source, resample_patches)
        self.encoder = cast(ViTEncoder, create_encoder(**encoder))
        self.origin = "the encoder's weights are random, as asked for"
        if source != "random":
            report = load_whole(self.encoder, source, resample_patches)
            self.origin = f"the encoder's weights are from {source}: {report}"
        if not final_norm:
            self.encoder.norm = nn.Identity()
        self.encoder.pos_embed.requires_grad_(train_positions)
        self.encoder.tile_positions = tile_positions
        self.layers, self.pad_windows = tuple(layers), pad_windows
        check_layers((*layers, *global_blocks), self.encoder)
        self.window = window
        every = range(self.encoder.depth)
        self.windowed = frozenset(every if window else ()) - frozenset(global_blocks)
        self.on_grid = window is not None or relative_grid is not None
        blocks: list[Any] = list(self.encoder.blocks)
        if self.on_grid:
            for i, block in enumerate(blocks):
                side = window if i in self.windowed else relative_grid
                block.attn = GridAttention(block.attn, side if relative_grid else None)
        self.biased: list[BiasedAttention] = []
        for block in blocks:
            if relative_bias is not None:
                block.attn = BiasedAttention(block.attn, relative_bias)
                self.biased.append(block.attn)
            if layer_scale:
                block.ls1, block.ls2 = (LayerScale(self.encoder.width, 1.0) for _ in range(2))
        self._leave_out_unused()
        self.frozen = frozen
        if frozen:
            self.requires_grad_(False)

    def _leave_out_unused(self) -> None:
        """Nothing waits for gradients of weights that no map depends on, as DDP would."""
        encoder = self.encoder
        unused = list(encoder.blocks[max(self.layers) + 1 :])
        if encoder.depth - 1 not in self.layers:
            unused.append(encoder.norm)
        for module in unused:
            module.requires_grad_(False)
        if self.on_grid:
            encoder.cls_token.requires_grad_(False)

    def train(self, mode: bool = True) -> "MAEViT":
        """As any module's, but a frozen encoder stays in evaluation."""
        super().train(mode and not self.frozen)
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) normalised -> a map (N, width, H/p, W/p) for each layer."""
        grid = grid_size(images.shape[-2], images.shape[-1], self.encoder.patch_size)
        if not self.on_grid:
            for attention in self.biased:
                attention.grid = grid
            return tuple(self.encoder.feature_maps(images, self.layers))
        arrange = padded_layout if self.pad_windows else window_layout
        layout = arrange(grid, self.window or max(grid), images.device)
        tokens, in_windows, maps = self.encoder.embed(images)[:, 1:], False, []
        blocks: list[Any] = list(self.encoder.blocks)
        for i, block in enumerate(blocks):
            windowed = i in self.windowed
            if windowed != in_windows:
                tokens = tokens[:, layout.order if windowed else layout.inverse]
                in_windows = windowed
            block.attn.groups = layout.groups if windowed else (Group(1, *grid),)
            block.attn.places = layout.places if windowed else None
            tokens = block(tokens)
            if i in self.layers:
                flat = tokens[:, layout.inverse] if in_windows else tokens
                maps.append(self.encoder.as_map(flat, i, grid))
        return tuple(maps)
