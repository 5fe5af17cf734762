"""The one encoder as a backbone for mmdet and mmseg, and ViTDet's simple feature pyramid."""

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from mae_core.checkpoints import build_encoder


@MODELS.register_module()
class MAEViT(BaseModule):
    """Patch tokens of chosen blocks as feature maps.

    Args:
        encoder: fields of the encoder, as in :func:`mae_core.create_encoder`.
        source: 'random', or the path of the encoder's file; a missing weight is an error.
        layers: blocks whose output is returned, 0 to depth - 1.
    """

    def __init__(self, encoder: dict[str, Any], source: str, layers: Sequence[int]) -> None:
        super().__init__()
        self.encoder = build_encoder(dict(encoder), source)
        self.layers = tuple(layers)
        kind = "random weights" if source == "random" else f"all weights from {source}"
        print_log(f"MAEViT: {kind}", "current", logging.INFO)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) normalised -> a map (N, width, H/p, W/p) for each layer."""
        return tuple(self.encoder.feature_maps(images, self.layers))


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Several scales from the last map alone (Li et al. 2022, arXiv 2203.16527, 3).

    Args:
        in_channels: the encoder's width.
        out_channels: of every level.
        scales: size of each level relative to the map, fine to coarse: 4, 2, 1 or 0.5.
    """

    def __init__(
        self, in_channels: int, out_channels: int, scales: Sequence[float] = (4, 2, 1, 0.5)
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(_level(in_channels, out_channels, scale) for scale in scales)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The last of `maps` (N, D, h, w) -> a map (N, out, s*h, s*w) for each scale s.

        The maps are contiguous: mmcv's RoIAlign on CPUs reads any other layout wrongly.
        """
        return tuple(level(maps[-1]).contiguous() for level in self.levels)


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
