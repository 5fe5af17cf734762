import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from downstream.analysis.rank import effective_rank, rankme, smooth_rank


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.floats(0.01, 100))
def test_k_equal_singular_values_are_rank_k(rank: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(rank)
    left, right = (
        torch.linalg.qr(torch.randn(n, rank, generator=generator, dtype=torch.double)).Q
        for n in (40, 12)
    )
    assert rankme(scale * left @ right.T) == pytest.approx(rank)


def test_the_rank_is_the_exponential_of_the_entropy() -> None:
    """Of shares 1/2, 1/4, 1/4 the entropy is 3/2 ln 2."""
    assert smooth_rank(torch.tensor([4.0, 2.0, 2.0, 0.0])) == pytest.approx(2**1.5)
    assert smooth_rank(torch.zeros(3)) == 0


def test_a_large_mean_hides_directions_from_rankme_only() -> None:
    x = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    assert effective_rank(x + 1000) == pytest.approx(effective_rank(x), rel=1e-3)
    assert rankme(x + 1000) < 1.1 and rankme(x) > 7.9
