"""Random masking: which patches the encoder sees."""

from typing import NamedTuple

import torch
from torch import Tensor

from mae_core.errors import UserError


class Masking(NamedTuple):
    """Which of L patches are visible.

    Attributes:
        keep: (N, K) int64, the visible patches in the order in which the encoder gets them.
        restore: (N, L) int64, the place of each patch in [visible, masked] order.
        mask: (N, L) float32, 1 where masked.
    """

    keep: Tensor
    restore: Tensor
    mask: Tensor


def random_masking(noise: Tensor, mask_ratio: float) -> Masking:
    """Keep the int(L * (1 - mask_ratio)) patches of smallest noise (paper, 3, "Masking").

    Args:
        noise: (N, L) float, one draw a patch.
        mask_ratio: share of masked patches, 0 to below 1.

    Raises:
        UserError: if the ratio leaves no visible patch.
    """
    length = noise.shape[1]
    kept = int(length * (1 - mask_ratio))
    if not 0 < kept <= length:
        raise UserError(
            f"mask_ratio {mask_ratio} leaves {kept} of {length} patches visible: "
            f"choose 0 to {1 - 1 / length:.3f}"
        )
    order = torch.argsort(noise, dim=1)
    restore = torch.argsort(order, dim=1)
    return Masking(order[:, :kept], restore, (restore >= kept).float())
