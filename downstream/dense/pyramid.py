"""Feature pyramids from a plain encoder's maps, and what else stands before a head."""

from collections.abc import Sequence

from mmengine.registry import MODELS
from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

MODELS.register_module("LN2d", module=LayerNorm2d)  # a norm that configs of heads can ask for


@MODELS.register_module()
class SimpleFeaturePyramid(nn.Module):
    """Several scales from the last map alone (ViTDet, Li et al. 2022, arXiv 2203.16527, 3).

    Args:
        in_channels: the encoder's width.
        out_channels: of every level.
        scales: size of each level relative to the map, fine to coarse: 4, 2, 1 or 0.5.
        coarser: levels beyond, each every second pixel of the one before, for large anchors.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        scales: Sequence[float] = (4, 2, 1, 0.5),
        coarser: int = 0,
    ) -> None:
        super().__init__()
        self.coarser = coarser
        self.levels = nn.ModuleList(_level(in_channels, out_channels, scale) for scale in scales)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The last of `maps` (N, D, h, w) -> a map (N, out, s*h, s*w) for each scale s.

        The maps are contiguous: mmcv's RoIAlign on CPUs reads any other layout wrongly.
        """
        levels = [level(maps[-1]).contiguous() for level in self.levels]
        for _ in range(self.coarser):
            levels.append(F.max_pool2d(levels[-1], kernel_size=1, stride=2))
        return tuple(levels)


@MODELS.register_module()
class MapNorm(nn.Module):
    """Batch norm of the last map, for a linear layer on top (DINOv2's `BNHead`).

    Args:
        in_channels: the encoder's width.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm = nn.SyncBatchNorm(in_channels)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The last of `maps` (N, D, h, w) -> the same shape, normalised by channel."""
        return (self.norm(maps[-1]),)


def _level(width: int, out: int, scale: float) -> nn.Sequential:
    resample: list[nn.Module] = []
    if scale == 4:
        half = width // 2
        resample = [nn.ConvTranspose2d(width, half, 2, 2), LayerNorm2d(half), nn.GELU()]
        width = half
    if scale in (2, 4):
        resample.append(nn.ConvTranspose2d(width, width // 2, 2, 2))
        width //= 2
    elif scale == 0.5:
        resample.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *resample,
        nn.Conv2d(width, out, 1, bias=False),
        LayerNorm2d(out),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        LayerNorm2d(out),
    )
