"""Any encoder with feature maps as a backbone for mmdet and mmseg."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from downstream.dense.levels import check_layers
from mae_core.agreement import outline
from mae_core.checkpoints import check_sizes, load_whole
from mae_core.encoders import create_encoder
from mae_core.encoders.base import Encoder


@MODELS.register_module()
class EncoderMaps(BaseModule):
    """Maps of an encoder of any family, each of its own width and stride.

    Args:
        encoder: fields of the encoder, as in :func:`mae_core.create_encoder`.
        source: 'random', or the path of the encoder's file; a missing weight is an error.
        layers: whose maps are returned, rising, see :meth:`Encoder.feature_maps`.
        resample_patches: whether weights for patches of another size may be resampled.
        frozen: whether the weights stay as they are.
        norm_eval: whether batch norms use the statistics that came with the weights, and do not
            gather others. mmdet's recipes for pretrained encoders do so (`norm_eval=True` in
            configs/_base_/models/mask-rcnn_r50_fpn.py), as batches are small; mmseg's do not.
        checkpointing: whether the blocks forget what they computed and compute it again for the
            gradients, but for those with batch norms that gather statistics, which would do so
            twice.

    Attributes:
        origin: where the weights are from, and what became of each key.

    Raises:
        UserError: if there is no such layer, or the file does not have every weight.
    """

    encoder: Encoder

    def __init__(
        self,
        encoder: dict[str, Any],
        source: str,
        layers: Sequence[int],
        resample_patches: bool = False,
        frozen: bool = False,
        norm_eval: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(dict(encoder), source, resample_patches)
        self.fields = dict(encoder)
        self.encoder = create_encoder(**encoder)
        self.origin = "the encoder's weights are random, as asked for"
        if source != "random":
            report = load_whole(self.encoder, source, resample_patches)
            self.origin = f"the encoder's weights are from {source}: {report}"
        self.layers, self.frozen, self.norm_eval = tuple(layers), frozen, norm_eval
        check_layers(layers, self.encoder)
        if frozen:
            self.requires_grad_(False)
        if checkpointing:
            for block in self.encoder.block_modules():
                if norm_eval or not has_batch_norm(block):
                    block.forward = forgetting(block.forward)

    def leave_out_unused(self) -> None:
        """Nothing waits for gradients of weights that no map depends on, as DDP would."""
        for name in unused(self.fields, self.layers):
            self.encoder.get_parameter(name).requires_grad_(False)

    def share_statistics(self) -> None:
        """Batch norms that gather statistics do so over all processes."""
        if not (self.frozen or self.norm_eval):
            self.encoder = convert_sync_batchnorm(self.encoder)

    def train(self, mode: bool = True) -> "EncoderMaps":
        """As any module's, but what is frozen, or of `norm_eval`, stays in evaluation."""
        super().train(mode and not self.frozen)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) normalised -> a map (N, widths[i], H / strides[i], W / strides[i]) each.

        The maps are contiguous: mmcv's RoIAlign on CPUs reads any other layout wrongly.
        """
        maps = self.encoder.feature_maps(images, self.layers)
        return tuple(one.contiguous() for one in maps)


def has_batch_norm(module: nn.Module) -> bool:
    """Whether some part of it gathers statistics of batches."""
    return any(isinstance(part, _BatchNorm) for part in module.modules())


def forgetting(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A block's `forward` that keeps nothing for the gradients."""

    @wraps(forward)
    def computed_again(*args: Any, **options: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, **options)

    return computed_again


def unused(fields: Mapping[str, Any], layers: Sequence[int]) -> list[str]:
    """Names of an encoder's parameters that no map of `layers` depends on; computes no values."""
    shape = outline(fields)
    maps = shape.feature_maps(meta_images(shape, shape.img_size), layers)
    named = dict(shape.named_parameters())
    trained = {name: one for name, one in named.items() if one.requires_grad}
    whole = torch.stack([one.sum() for one in maps]).sum()
    found = torch.autograd.grad(whole, list(trained.values()), allow_unused=True)
    return [name for name, one in zip(trained, found, strict=True) if one is None]


def why_not(fields: Mapping[str, Any], layers: Sequence[int], size: tuple[int, int]) -> str:
    """What keeps an encoder from making its maps of images of `size` (H, W); '' if nothing does."""
    try:
        shape = outline(fields)
        with torch.no_grad():
            maps = shape.feature_maps(meta_images(shape, size), layers)
    except Exception as error:  # of whatever kind the family's code has
        return str(error).strip().partition("\n")[0][:200] or type(error).__name__
    for layer, one in zip(layers, maps, strict=True):
        wanted = tuple(side / shape.strides[layer] for side in size)
        if tuple(one.shape[-2:]) != wanted:
            return f"the map of layer {layer} is {tuple(one.shape[-2:])}, expected {wanted}"
    return ""


def meta_images(encoder: Encoder, size: tuple[int, int]) -> Tensor:
    """The shape of one image of `size` (H, W) for an encoder, without memory."""
    return torch.empty(1, encoder.config["in_chans"], *size, device="meta")
