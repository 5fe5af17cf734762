"""Layers of timm's ConvNets that see visible places only: dense ones that act as sparse ones.

Sparse convolutions on the visible places alone (submanifold ones, Graham et al. 2017, arXiv
1711.10275) keep what is masked from spreading: a place after a layer is visible if and only if its
patch is. A dense layer does the same if its input is 0 where masked and its output is made so
(ConvNeXt V2, arXiv 2301.00808, 3; SparK, arXiv 2301.03580, 3.1). :func:`masked` has the layers of
a model do that for a while; the model itself stays as timm built it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from timm.layers import (
    AvgPool2dSame,
    BlurPool2d,
    Conv2dSame,
    GlobalResponseNormMlp,
    LayerNorm,
    LayerNorm2d,
    Mlp,
    RmsNorm,
    RmsNorm2d,
    SimpleNorm,
    SimpleNorm2d,
)
from timm.layers.activations import GELU, GELUTanh
from timm.models import convnext, resnet
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mae_core.drop_path import DropPath
from mae_core.errors import UserError


class Visible:
    """Which places of a batch are visible, at each resolution.

    Args:
        patches: (N, h, w) bool, True where a patch is visible; of each image as many.
    """

    def __init__(self, patches: Tensor) -> None:
        counts = patches.flatten(1).sum(dim=1)
        if (counts != counts[:1]).any():
            raise ValueError(f"images with other numbers of visible patches: {counts.tolist()}")
        self.patches = patches
        self.masks: dict[tuple[int, int], Tensor] = {}
        self.flat: dict[tuple[int, int], Tensor] = {}

    def hidden(self, height: int, width: int) -> Tensor:
        """(N, height, width) bool, True where masked; both are multiples of the patches' number."""
        size = height, width
        if size not in self.masks:
            rows, columns = self.patches.shape[1:]
            if height % rows or width % columns:
                raise ValueError(f"{rows}×{columns} patches on a map of {height}×{width} places")
            mask = ~self.patches
            mask = mask.repeat_interleave(height // rows, 1)
            self.masks[size] = mask.repeat_interleave(width // columns, 2)
        return self.masks[size]

    def places(self, height: int, width: int) -> Tensor:
        """(K,) int64, the visible ones among the N * height * width places of a batch."""
        size = height, width
        if size not in self.flat:
            self.flat[size] = (~self.hidden(height, width)).flatten().nonzero().squeeze(1)
        return self.flat[size]

    def only(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> the same with 0 where masked."""
        return maps.masked_fill(self.hidden(*maps.shape[2:]).unsqueeze(1), 0.0)


Rule = Callable[[Visible, Any, Tensor], Tensor]


def own(module: nn.Module, x: Tensor) -> Tensor:
    """What the module does without masks."""
    found: Tensor = type(module).forward(module, x)
    return found


def blank(visible: Visible, maps: Tensor) -> Tensor:
    """Put 0 where maps (N, C, H, W) are masked, in place: what a layer gave is nobody else's."""
    return maps.masked_fill_(visible.hidden(*maps.shape[2:]).unsqueeze(1), 0.0)


def channels_first(visible: Visible, module: nn.Module, x: Tensor) -> Tensor:
    """A convolution, or a norm over channels, on (N, C, H, W)."""
    return blank(visible, own(module, x))


def channels_last(visible: Visible, module: nn.Module, x: Tensor) -> Tensor:
    """A layer over channels on (N, H, W, C)."""
    return own(module, x).masked_fill_(visible.hidden(*x.shape[1:3]).unsqueeze(-1), 0.0)


def mlp(visible: Visible, module: Mlp | GlobalResponseNormMlp, x: Tensor) -> Tensor:
    """The visible places of each image in one column, which is as if there were no others.

    They are a part of all, so that this is faster than timm's own.

    So GRN, the norm over responses of ConvNeXt V2 (2301.00808, 3.3), is of each image over its own
    visible places: timm's GRN with nothing masked. The sparse GRN of ConvNeXt V2's published code
    is another one: it takes the norm over the visible places of the whole batch, so that an image's
    features depend on those beside it, and fine-tuning does another thing than pretraining did.
    """
    last = isinstance(module.fc1, nn.Linear)
    maps = x if last else x.permute(0, 2, 3, 1)
    n, h, w, _ = maps.shape
    places = visible.places(h, w)
    if len(places) == n * h * w:
        return own(module, x)
    columns = pick(maps, places).unflatten(0, (n, -1)).unsqueeze(2)  # (N, K / N, 1, C)
    if last:
        return put(own(module, columns).flatten(0, 2), places, (n, h, w))
    found = own(module, columns.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return put(found.flatten(0, 2), places, (n, h, w)).permute(0, 3, 1, 2)


def batch_norm(visible: Visible, module: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """In training the statistics, running ones too, are those of the visible places."""
    if not module.training and module.running_mean is not None:
        return channels_first(visible, module, x)
    n, c, h, w = x.shape
    places = visible.places(h, w)
    rows = pick(x.permute(0, 2, 3, 1), places)
    # As one image of a column, channels last there and back: of mixed layouts PyTorch's gradients
    # on CPUs are wrong.
    normed = own(module, rows.view(1, -1, 1, c).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    maps = put(normed.reshape(-1, c), places, (n, h, w)).permute(0, 3, 1, 2)
    return maps.clone()  # no view: layers in place after it would cut off the hooks of shards


def pick(maps: Tensor, places: Tensor) -> Tensor:
    """The K places of maps (N, H, W, C), as (K, C)."""
    return maps.reshape(-1, maps.shape[-1]).index_select(0, places)


def put(rows: Tensor, places: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Rows (K, C) at their places of maps of a size (N, H, W), which are 0 elsewhere."""
    n, h, w = size
    maps = rows.new_zeros(n * h * w, rows.shape[1]).index_copy(0, places, rows)
    return maps.view(n, h, w, -1)


def max_pool(visible: Visible, module: nn.MaxPool2d, x: Tensor) -> Tensor:
    """The largest of the visible places."""
    hidden = visible.hidden(*x.shape[2:]).unsqueeze(1)
    return blank(visible, own(module, x.masked_fill(hidden, -torch.inf)))


def avg_pool(visible: Visible, module: nn.AvgPool2d, x: Tensor) -> Tensor:
    """The mean of the visible places: a window's share of them is made up for."""
    seen = (~visible.hidden(*x.shape[2:])).unsqueeze(1).to(x.dtype)
    whole, part = own(module, torch.ones_like(seen)), own(module, seen)
    part = part.masked_fill(part == 0, 1.0)  # of a window without any
    return blank(visible, own(module, x) * (whole / part))


RULES: dict[type[nn.Module], Rule] = {
    nn.Conv2d: channels_first,
    Conv2dSame: channels_first,
    BlurPool2d: channels_first,  # a convolution with fixed weights
    LayerNorm2d: channels_first,
    RmsNorm2d: channels_first,
    SimpleNorm2d: channels_first,
    LayerNorm: channels_last,
    RmsNorm: channels_last,
    SimpleNorm: channels_last,
    Mlp: mlp,
    GlobalResponseNormMlp: mlp,
    nn.BatchNorm2d: batch_norm,
    nn.SyncBatchNorm: batch_norm,
    nn.MaxPool2d: max_pool,
    nn.AvgPool2d: avg_pool,
    AvgPool2dSame: avg_pool,
}
# They keep a 0 where it is, and take each place for itself or leave that to the modules in them.
HARMLESS = frozenset(
    {
        nn.Identity,
        nn.Sequential,
        nn.Dropout,
        nn.ReLU,
        nn.SiLU,
        nn.GELU,
        GELU,
        GELUTanh,
        DropPath,
        resnet.ResNet,
        resnet.BasicBlock,
        resnet.Bottleneck,
        convnext.ConvNeXt,
        convnext.ConvNeXtStage,
        convnext.ConvNeXtBlock,
        convnext.Downsample,
    }
)
HEADS = ("head", "fc", "global_pool")  # come after the features


def check_layers(model: nn.Module, who: str) -> None:
    """Raise UserError unless all that `model`, one of timm's, computes features with can be masked.

    Args:
        model: a classifier or without one.
        who: needs it, for the message.
    """
    for name, module in outermost(model):
        if name.partition(".")[0] in HEADS or type(module) in HARMLESS or type(module) in RULES:
            continue
        where = f" has the layer {name}, a" if name else " is a"
        raise UserError(
            f"{who} masks timm's ResNet, ConvNeXt and ConvNeXt V2: this {type(model).__name__}"
            f"{where} {type(module).__name__}, of which it is not known how it looks at visible "
            "places only. Take another encoder.arch, such as timm:convnextv2_atto or timm:resnet50"
        )


def outermost(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """A module and all in it by name, but for what is in one that has a rule."""
    yield name, module
    if rule_of(module) is None:
        for part, child in module.named_children():
            yield from outermost(child, f"{name}.{part}" if name else part)


def rule_of(module: nn.Module) -> Rule | None:
    """The rule for a module; shards of a model (FSDP) are of classes of their own."""
    return next((RULES[kind] for kind in type(module).__mro__ if kind in RULES), None)


@contextmanager
def masked(model: nn.Module, visible: Visible) -> Iterator[None]:
    """Let the layers of `model` see the visible places only; input and features are 0 elsewhere.

    Args:
        model: one that :func:`check_layers` passes, heads apart. Its input must be
            `visible.only(images)`.
        visible: the batch's places.
    """
    before: list[tuple[nn.Module, Any]] = []
    for _, module in outermost(model):
        replaced = module.__dict__.get("forward")
        rule = rule_of(module)
        if rule is not None:
            forward: Any = partial(rule, visible, module)
        elif replaced is not None and hasattr(replaced, "__wrapped__"):
            # by mmengine, for activation checkpointing
            forward = partial(recomputed, visible, module, replaced.__wrapped__)
        else:
            continue
        before.append((module, replaced))
        module.forward = forward
    try:
        yield
    finally:
        for module, replaced in before:
            if replaced is None:
                del module.forward
            else:
                module.forward = replaced


def recomputed(visible: Visible, module: nn.Module, forward: Any, *inputs: Any) -> Any:
    """Activation checkpointing of a module, whose layers are masked the second time, too."""

    def compute(*given: Any) -> Any:
        with masked_inside(module, visible):
            return forward(*given)

    return checkpoint(compute, *inputs, use_reentrant=False)


@contextmanager
def masked_inside(module: nn.Module, visible: Visible) -> Iterator[None]:
    """As :func:`masked`, for all in a module, but not itself."""
    with ExitStack() as stack:
        for child in module.children():
            stack.enter_context(masked(child, visible))
        yield
