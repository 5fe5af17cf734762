import math

import pytest
import torch
from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

from mae_core import UserError
from mae_core.positions import sincos_positions


def test_equals_a_direct_computation_with_the_column_first() -> None:
    table = sincos_positions((3, 4), 16)[0]
    assert table[0].tolist() == [0.0] * 16
    row, column = 2, 3
    expected = []
    for position in (column, row):
        angles = [position / 10000 ** (i / 4) for i in range(4)]
        expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    torch.testing.assert_close(table[1 + row * 4 + column], torch.tensor(expected))


def test_equals_transformers_with_the_halves_in_the_order_of_published_weights() -> None:
    rows_first = build_2d_sinusoidal_position_embedding(5, 7, 64, cls_token=True)
    columns_first = torch.cat(rows_first.chunk(2, dim=-1)[::-1], dim=-1)
    torch.testing.assert_close(sincos_positions((5, 7), 64)[0], columns_first)


def test_a_width_that_four_does_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match="found 30"):
        sincos_positions((2, 2), 30)
