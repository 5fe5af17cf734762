"""Self-attention with a learnt bias for each relative position, as segmentors on BEiT and MAE have.

A table for each head (Bao et al. 2021, arXiv 2106.08254, after Swin's arXiv 2103.14030, 3.2), which
begins at nothing where MAE's weights are fine-tuned (arXiv 2111.06377, A.4).
"""

from functools import lru_cache

import torch
from timm.layers import Attention
from torch import Tensor, nn
from torch.nn import functional as F


class BiasedAttention(nn.Module):
    """An encoder's attention with a bias for each pair of tokens; its parameters keep their names.

    Args:
        attention: of a block; its layers are taken over.
        side: of the grid for which the table is made, in tokens. Tokens that are farther apart than
            any there get the bias of the farthest.

    Attributes:
        grid: (rows, columns) of the next call's patches.
    """

    grid = (0, 0)

    def __init__(self, attention: Attention, side: int) -> None:
        super().__init__()
        self.qkv, self.proj, self.num_heads = attention.qkv, attention.proj, attention.num_heads
        self.side = side
        self.bias_table = nn.Parameter(torch.zeros((2 * side - 1) ** 2 + 3, self.num_heads))

    def forward(self, tokens: Tensor, **_: object) -> Tensor:
        """(N, 1 + rows * columns, D), class token first -> the same shape."""
        q, k, v = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        entries = bias_entries(self.grid, self.side, tokens.device)
        bias = self.bias_table[entries].permute(2, 0, 1).to(q.dtype)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(1, 2).flatten(2))


@lru_cache(maxsize=64)
def bias_entries(grid: tuple[int, int], side: int, device: torch.device) -> Tensor:
    """(1 + L, 1 + L) int64: the table's entry for each query and key, the class token first.

    The last three entries are those from the class token, to it, and of it to itself.
    """
    rows, columns = torch.meshgrid(*map(torch.arange, grid), indexing="ij")
    apart = [
        (a.flatten()[:, None] - a.flatten()[None]).clamp(1 - side, side - 1) + side - 1
        for a in (rows, columns)
    ]
    count = (2 * side - 1) ** 2
    entries = torch.full((grid[0] * grid[1] + 1,) * 2, count)
    entries[1:, 1:] = apart[0] * (2 * side - 1) + apart[1]
    entries[1:, 0] = count + 1
    entries[0, 0] = count + 2
    return entries.to(device)
