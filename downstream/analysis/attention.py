"""Where the class token looks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from downstream.drawing import figure_grid, save
from mae_core.encoder import ViTEncoder
from mae_core.patches import grid_size


def attention(layer: Any, tokens: Tensor) -> Tensor:
    """Attention weights (N, heads, T, T) of timm's `Attention` on its input (N, T, width).

    Row i says how much of each token's value goes into token i; it sums to 1.
    """
    qkv = layer.qkv(tokens).unflatten(-1, (3, layer.num_heads, layer.head_dim))
    q, k = (layer.scale**0.5 * part.transpose(1, 2) for part in qkv.unbind(2)[:2])
    return (q @ k.mT).softmax(dim=-1)


@torch.inference_mode()
def class_attention(encoder: ViTEncoder, images: Tensor) -> Tensor:
    """What the class token takes from each patch in the last block, (N, heads, h, w).

    Args:
        encoder: in evaluation.
        images: (N, C, H, W) float, normalised.
    """
    layer: Any = encoder.blocks[-1].attn
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder.tokens(images)
    handle.remove()
    grid = grid_size(images.shape[-2], images.shape[-1], encoder.patch_size)
    return attention(layer, seen[0])[:, :, 0, 1:].unflatten(-1, grid)


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
