import torch
from hypothesis import given
from hypothesis import strategies as st

from downstream.dense.windows import window_layout

CPU = torch.device("cpu")


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 25))
def test_every_token_is_in_one_window_of_its_neighbours(height: int, width: int, size: int) -> None:
    layout = window_layout((height, width), size, CPU)
    assert torch.equal(layout.order[layout.inverse], torch.arange(height * width))
    start = 0
    for count, rows, columns in layout.groups:
        assert 0 < rows <= size and 0 < columns <= size
        windows = layout.order[start : start + count * rows * columns].view(count, rows, columns)
        start += windows.numel()
        for window in windows:
            top, left = divmod(int(window[0, 0]), width)
            assert top % size == 0 and left % size == 0
            expected = (top + torch.arange(rows))[:, None] * width + left + torch.arange(columns)
            assert torch.equal(window, expected)
    assert start == height * width


def test_windows_that_divide_the_grid_are_all_alike() -> None:
    assert window_layout((28, 14), 14, CPU).groups == ((2, 14, 14),)
    assert sum(group.windows for group in window_layout((64, 64), 14, CPU).groups) == 25
