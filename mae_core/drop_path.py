"""Stochastic depth (Huang et al. 2016, arXiv 1603.09382): some images skip some branches."""

import timm.layers
from torch import Tensor, nn

from mae_core.noise import uniform

STREAM = 0x5DEECE66D  # keeps these draws apart from the masks', which have the same seeds


class DropPath(timm.layers.DropPath):
    """timm's, but drawn from the seeds that :func:`draw_paths` was given, if it was.

    Attributes:
        draw: (N,) float32 in [0, 1), one for each image of the next batch; None for a draw from
            torch's global state.
    """

    draw: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) -> the same, in training with zeros for a share `drop_prob` of the images.

        The others are scaled up, so that the mean stays. N may be a multiple of the images: what
        is in a batch as windows or parts of them, those of one image together, has one draw.
        """
        if self.draw is None or not self.training:
            return super().forward(x)
        draw = self.draw.repeat_interleave(len(x) // len(self.draw))
        kept = (draw >= self.drop_prob).to(x.dtype) / (1 - self.drop_prob)
        return x * kept.view(-1, *[1] * (x.ndim - 1))


def replace_paths(model: nn.Module) -> None:
    """Put this module's :class:`DropPath` in place of all of timm's in `model`."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, timm.layers.DropPath):
                setattr(parent, name, DropPath(child.drop_prob))


def draw_paths(model: nn.Module, seeds: Tensor | None) -> None:
    """Choose which images of the next batch skip which branches.

    Args:
        model: with :class:`DropPath` modules, or none.
        seeds: (N,) int64, the images' own, so that the draw is the same however a batch is spread
            over steps and devices; None leaves it to torch's global state.
    """
    paths = [module for module in model.modules() if isinstance(module, DropPath)]
    if not paths:
        return
    drawn = None if seeds is None else uniform(seeds ^ STREAM, len(paths))
    for number, path in enumerate(paths):
        path.draw = None if drawn is None else drawn[:, number]
