"""Fixed two-dimensional sine-cosine positions (He et al. 2021, arXiv 2111.06377, A.1)."""

import torch
from torch import Tensor

from mae_core.errors import UserError


def sincos_positions(grid: tuple[int, int], width: int) -> Tensor:
    """Positions (1, 1 + h*w, width) in float32, zeros first for the class token.

    The first half of the channels encodes the column, the second the row; within a half the
    sines come before the cosines. Frequencies are 10000^(-i / (width / 4)) (Vaswani et al. 2017,
    3.5). Raises UserError if the width is not a multiple of 4.
    """
    if width % 4:
        raise UserError(f"sine-cosine positions need a width that 4 divides, found {width}")
    bands = width // 4
    omega = 10000.0 ** (-torch.arange(bands, dtype=torch.float64) / bands)
    rows, columns = torch.meshgrid(*(torch.arange(s) for s in grid), indexing="ij")
    angles = [axis.reshape(-1, 1) * omega for axis in (columns, rows)]
    table = torch.cat([f(a) for a in angles for f in (torch.sin, torch.cos)], dim=1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), table]).float().unsqueeze(0)
