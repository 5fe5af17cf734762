import torch
from torch.nn import functional as F

from downstream.dense.grid_attention import places, relative_table


def test_a_table_for_a_longer_side_has_its_distances_interpolated() -> None:
    table = torch.randn(5, 4)  # distances -2 to 2
    found = relative_table(table, 5)
    expected = F.interpolate(table.t()[None], size=9, mode="linear")[0].t()
    for query in range(5):
        for key in range(5):
            assert torch.equal(found[query, key], expected[query - key + 4])


def test_a_shorter_side_uses_the_near_distances() -> None:
    table = torch.arange(9.0).unsqueeze(1)  # distances -4 to 4
    found = relative_table(table, 3)[..., 0]
    assert found.tolist() == [[4, 3, 2], [5, 4, 3], [6, 5, 4]]


def test_places_pick_a_row_and_a_column() -> None:
    found = places(2, 3, torch.zeros(0))
    assert found.sum(dim=1).tolist() == [2] * 6
    assert found[4].tolist() == [0, 1, 0, 1, 0]
