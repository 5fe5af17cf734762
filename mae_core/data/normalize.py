"""From stored pixels to what the model sees, on the device."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor


class Normalize(BaseDataPreprocessor):
    """Move a batch to the device; mirror and normalise its images there.

    Args:
        mean, std: per channel, in units of the pixels: 0 to 255, or those of the files where bands
            are read as they are stored.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(non_blocking=True)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """`inputs` (N, C, H, W) become float32, mirrored where `flip` (N,) bool says.

        `flip` and `unreadable` end here; other entries only move.
        """
        rest = {key: data[key] for key in data if key not in ("flip", "unreadable")}
        if "flip" in data:  # as numbers, for which a GPU need not wait
            rest["flip"] = data["flip"].nonzero().flatten()
        rest = self.cast_data(rest)
        images = self.images(rest["inputs"])
        if "flip" in rest:
            flip = rest.pop("flip")
            images[flip] = images[flip].flip(-1)
        return {**rest, "inputs": images}

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) uint8 or float32 -> normalised float32."""
        return pixels.to(torch.float32, copy=True).sub_(self.mean).div_(self.std)

    def restore(self, images: torch.Tensor, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
        """The inverse of :meth:`images`: (N, C, H, W) uint8 or float32, as `dtype` says."""
        pixels = images * self.std + self.mean
        return pixels if dtype.is_floating_point else pixels.round().clamp(0, 255).byte()
