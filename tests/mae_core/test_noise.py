import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mae_core.noise import uniform

MASK = (1 << 64) - 1


def splitmix(state: int) -> int:
    """The generator's output function, in Python's whole numbers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


@given(seed=st.integers(0, 2**63 - 1), count=st.integers(1, 5))
def test_numbers_are_splitmix64(seed: int, count: int) -> None:
    start = splitmix(seed)
    expected = [
        (splitmix((start + i * 0x9E3779B97F4A7C15) & MASK) >> 40) / 2**24
        for i in range(1, count + 1)
    ]
    assert uniform(torch.tensor([seed]), count).tolist() == [expected]


def test_a_row_depends_on_its_seed_alone() -> None:
    seeds = torch.tensor([5, 2**62, 5, 0])
    numbers = uniform(seeds, 196)
    assert torch.equal(numbers[0], numbers[2])
    assert torch.equal(uniform(seeds[1:2], 196)[0], numbers[1])


def test_numbers_are_uniform_and_neighbouring_seeds_are_unrelated() -> None:
    numbers = uniform(torch.arange(2000), 100).numpy()
    assert numbers.min() >= 0 and numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 0.01
    between = np.corrcoef(numbers[:-1].ravel(), numbers[1:].ravel())[0, 1]
    within = np.corrcoef(numbers[:, :-1].ravel(), numbers[:, 1:].ravel())[0, 1]
    assert abs(between) < 0.01 and abs(within) < 0.01
