"""Masking: which patches the encoder sees (paper, 3 "Masking", and Fig. 6 for the strategies)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mae_core.errors import UserError

BLOCKS = 32  # drawn for each image; those that are not needed stay visible
BLOCK_AREA = 0.2  # of the image
BLOCK_ASPECT = 0.3  # height over width is between this and its inverse (BEiT, arXiv 2106.08254)


class Masking(NamedTuple):
    """Which of L patches are visible.

    Attributes:
        keep: (N, K) int64, the visible patches in the order in which the encoder gets them.
        hidden: (N, L - K) int64, the masked ones.
        mask: (N, L) float32, 1 where masked.
    """

    keep: Tensor
    hidden: Tensor
    mask: Tensor


def mask_patches(
    noise: Tensor, grid: tuple[int, int], mask_ratio: float, strategy: str = "random"
) -> Masking:
    """Keep the :func:`visible_patches` of the smallest score, which the strategy makes of noise.

    Args:
        noise: (N, L) float in [0, 1), one draw a patch.
        grid: patches down and across, h * w = L.
        mask_ratio: share of masked patches, 0 to below 1.
        strategy: 'random', 'block' or 'grid', see :data:`STRATEGIES`.
    """
    kept = visible_patches(noise.shape[1], mask_ratio)
    order = STRATEGIES[strategy](noise, grid).argsort(dim=1)
    keep, hidden = order[:, :kept], order[:, kept:]
    mask = torch.ones_like(noise, dtype=torch.float32).scatter_(1, keep, 0.0)
    return Masking(keep, hidden, mask)


def visible_patches(length: int, mask_ratio: float) -> int:
    """How many of `length` patches stay visible: int(length * (1 - mask_ratio)).

    Raises:
        UserError: if that is none, or more than there are.
    """
    kept = int(length * (1 - mask_ratio)) if math.isfinite(mask_ratio) else 0
    if not 0 < kept <= length:
        raise UserError(
            f"mask_ratio {mask_ratio} leaves {kept} of {length} patches visible: "
            f"choose 0 to {1 - 1 / length:.3f}"
        )
    return kept


def random_scores(noise: Tensor, grid: tuple[int, int]) -> Tensor:
    """Every patch alike."""
    return noise


def block_scores(noise: Tensor, grid: tuple[int, int]) -> Tensor:
    """Masks rectangle after rectangle, around the patches of largest noise.

    All have the same area and a random aspect, as BEiT's; the last one is cut at random so that
    the number of masked patches is exact.
    """
    h, w = grid
    centres = noise.topk(min(BLOCKS, h * w), dim=1).indices.unsqueeze(-1)  # (N, B, 1)
    # The noise's high bits chose the centre; its low ones are as good as a second draw.
    draw = (noise.gather(1, centres.squeeze(-1)) * 4096).frac().unsqueeze(-1)
    aspect = BLOCK_ASPECT ** (1 - 2 * draw)
    place = torch.arange(h * w, device=noise.device)
    down = (place // w - centres // w).abs() / h  # (N, B, L), in image heights
    across = (place % w - centres % w).abs() / w
    inside = torch.maximum(down / aspect.sqrt(), across * aspect.sqrt()) <= BLOCK_AREA**0.5 / 2
    first = torch.where(inside.any(dim=1), inside.int().argmax(dim=1), inside.shape[1])
    return noise - first  # the first block has the largest scores


def grid_scores(noise: Tensor, grid: tuple[int, int]) -> Tensor:
    """Keeps a lattice: of each 2×2 patches first one, then its diagonal, then the other two.

    At a ratio of 0.75 exactly one of four stays; at ratios between quarters chance decides.
    """
    h, w = grid
    place = torch.arange(h * w, device=noise.device)
    turn = torch.tensor([[0, 2], [3, 1]], device=noise.device)
    return noise + turn[place // w % 2, place % w % 2]


STRATEGIES: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "random": random_scores,
    "block": block_scores,
    "grid": grid_scores,
}
