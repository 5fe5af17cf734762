"""Where the class token looks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from downstream.drawing import figure_grid, save


def draw_attention(path: Path, images: Sequence[np.ndarray], maps: Tensor) -> None:
    """Write a PNG: an image in each column; below it its maps, the heads' mean first.

    Args:
        path: of the picture.
        images: (H, W, 3) uint8.
        maps: (N, heads, h, w), each drawn from its smallest weight to its largest.
    """
    maps = torch.cat([maps.mean(dim=1, keepdim=True), maps], dim=1).cpu()
    heads = [f"head {number}" for number in range(1, maps.shape[1])]
    figure, axes = figure_grid(["image", "mean", *heads], len(images), cell=1.1)
    for column, image in enumerate(images):
        axes[0, column].imshow(image)
        for row, weights in enumerate(maps[column].numpy(), start=1):
            axes[row, column].imshow(weights, cmap="cividis")
    save(figure, path)
