"""Windows over a grid of tokens, with padding or without.

detectron2's ViTDet pads the grid with zeros until windows divide it, and attends to the padding
(`window_partition` in detectron2/modeling/backbone/utils.py). Without padding windows at the right
and lower edge are smaller instead: no token is made up, and a 64×64 grid with windows of 14 is
4,096 tokens instead of 4,900.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Group(NamedTuple):
    """Neighbours in the order of the tokens: `windows` of `height` × `width` tokens each."""

    windows: int
    height: int
    width: int


class Layout(NamedTuple):
    """An order of a grid's tokens, window after window.

    Attributes:
        order: (L,) int64, place in the grid of each token, row by row.
        inverse: (L,) int64, place in the order of each token of the grid.
        groups: windows of equal shape, in the order.
        places: (L,) int64, place of each token of the order among the groups' tokens, some of
            which are padding; None if there is no padding.
    """

    order: Tensor
    inverse: Tensor
    groups: tuple[Group, ...]
    places: Tensor | None = None


@lru_cache(maxsize=64)
def window_layout(grid: tuple[int, int], size: int, device: torch.device) -> Layout:
    """The layout of windows of `size` × `size` tokens over `grid` (rows, columns)."""
    places = torch.arange(grid[0] * grid[1], device=device).view(grid)
    order, groups = [], []
    for rows in _parts(grid[0], size):
        for columns in _parts(grid[1], size):
            part = places[rows.start : rows.stop, columns.start : columns.stop]
            part = part.unflatten(0, (-1, rows.step)).unflatten(2, (-1, columns.step))
            order.append(part.transpose(1, 2).flatten())  # (windows down, across, h, w)
            groups.append(Group(part.shape[0] * part.shape[2], rows.step, columns.step))
    places_in_turn = torch.cat(order)
    return Layout(places_in_turn, places_in_turn.argsort(), tuple(groups))


@lru_cache(maxsize=64)
def padded_layout(grid: tuple[int, int], size: int, device: torch.device) -> Layout:
    """As :func:`window_layout`, with windows that are all whole, padded at the lower right."""
    rows, columns = (-(-side // size) * size for side in grid)
    whole, height, width = window_layout((rows, columns), size, device)[0], *grid
    down, across = whole // columns, whole % columns
    (places,) = ((down < height) & (across < width)).nonzero(as_tuple=True)
    order = down[places] * width + across[places]
    group = Group(rows * columns // size**2, size, size)
    return Layout(order, order.argsort(), (group,), places)


def _parts(length: int, size: int) -> list[range]:
    """The part of a side that windows divide, and the rest, the step being a window's side."""
    whole = length // size * size
    parts = [range(0, whole, size)] if whole else []
    return [*parts, range(whole, length, length - whole)] if whole < length else parts
