"""Self-attention within windows of a grid, with relative positions (ViTDet, arXiv 2203.16527)."""

from collections.abc import Sequence
from math import prod

import torch
from timm.layers import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from downstream.dense.windows import Group

ALIGNED = 8  # head widths that fused kernels take


class GridAttention(nn.Module):
    """An encoder's attention, restricted to windows; its parameters keep their names.

    Relative positions are those of MViTv2 (arXiv 2112.01526, 3.1), a table for rows and one for
    columns, zero at first: query i and key j get q_i · (R_h[y_i - y_j] + R_w[x_i - x_j]) added to
    their scaled product. As the sum over all keys' rows and columns is a product of q_i's own
    positions with unit vectors, it is computed inside the fused kernel, by lengthening queries and
    keys, and no bias of the size of the attention is ever stored.

    Args:
        attention: of a block; its layers are taken over.
        window: side of the grid for which the tables are made, in tokens; None for no relative
            positions.
    """

    groups: Sequence[Group] = ()  # of the tokens of the next call
    places: Tensor | None = None  # of these tokens among the groups', the others being zeros

    def __init__(self, attention: Attention, window: int | None) -> None:
        super().__init__()
        self.qkv, self.proj, self.num_heads = attention.qkv, attention.proj, attention.num_heads
        self.relative = window is not None
        if window is not None:
            shape = (2 * window - 1, attention.head_dim)
            self.rel_pos_h = nn.Parameter(torch.zeros(shape))
            self.rel_pos_w = nn.Parameter(torch.zeros(shape))

    def forward(self, tokens: Tensor, **ignored: object) -> Tensor:
        """(N, L, D) in the order of `groups` -> the same shape."""
        if self.places is not None:
            slots = sum(prod(group) for group in self.groups)  # windows * height * width each
            padded = tokens.new_zeros(len(tokens), slots, tokens.shape[-1])
            tokens = padded.index_copy(1, self.places, tokens)
        n, _, width = tokens.shape
        qkv = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1))
        parts = qkv.split([g.windows * g.height * g.width for g in self.groups], dim=1)
        attended = []
        for part, group in zip(parts, self.groups, strict=True):
            windows = part.reshape(n * group.windows, -1, *part.shape[2:])
            q, k, v = windows.permute(2, 0, 3, 1, 4)  # (windows, heads, tokens, head width) each
            out = self._attend(q, k, v, (group.height, group.width))
            attended.append(out.transpose(1, 2).reshape(n, -1, width))
        out = torch.cat(attended, dim=1)
        return self.proj(out if self.places is None else out[:, self.places])

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int]) -> Tensor:
        if not self.relative:
            return F.scaled_dot_product_attention(q, k, v)
        scale, (height, width) = q.shape[-1] ** -0.5, grid
        own = q.unflatten(2, grid) / scale  # the kernel multiplies by the scale again
        rows = relative_table(self.rel_pos_h, height).to(q.dtype)
        columns = relative_table(self.rel_pos_w, width).to(q.dtype)
        to_rows = torch.einsum("nhyxd,ykd->nhyxk", own, rows)
        to_columns = torch.einsum("nhyxd,xkd->nhyxk", own, columns)
        rest = -(q.shape[-1] + height + width) % ALIGNED
        q = torch.cat([q, to_rows.flatten(2, 3), to_columns.flatten(2, 3)], dim=-1)
        k = torch.cat([k, places(height, width, k).expand(*k.shape[:2], -1, -1)], dim=-1)
        q, k = F.pad(q, (0, rest)), F.pad(k, (0, rest))
        padded = F.pad(v, (0, q.shape[-1] - v.shape[-1]))
        out = F.scaled_dot_product_attention(q, k, padded, scale=scale)
        return out[..., : v.shape[-1]]


def places(height: int, width: int, like: Tensor) -> Tensor:
    """(height * width, height + width): unit vectors of each token's row and column."""
    rows = torch.eye(height, dtype=like.dtype, device=like.device)
    columns = torch.eye(width, dtype=like.dtype, device=like.device)
    return torch.cat([rows.repeat_interleave(width, 0), columns.repeat(height, 1)], dim=1)


def relative_table(table: Tensor, side: int) -> Tensor:
    """(side, side, D): the entry for each query and key along one side.

    Args:
        table: (2 * S - 1, D), entries for the distances -(S - 1) to S - 1. A longer side than S
            has its distances interpolated, a shorter one uses the middle.
        side: in tokens.
    """
    wanted, length = 2 * side - 1, len(table)
    if wanted > length:
        table = F.interpolate(table.t().unsqueeze(0), size=wanted, mode="linear")[0].t()
    else:
        table = table[(length - wanted) // 2 :][:wanted]
    steps = torch.arange(side, device=table.device)
    return table[steps[:, None] - steps[None, :] + side - 1]
