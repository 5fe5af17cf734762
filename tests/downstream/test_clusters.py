import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.groups import coverages
from downstream.clusters import grouped_variance
from downstream.outcomes import Grouped
from downstream.statistics import compare, over_trainings, share


@given(st.integers(2, 12), st.integers(0, 2**32))
def test_the_variance_is_that_of_the_jackknife(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(count), rng.integers(0, count, 20)])
    values = rng.normal(size=len(groups))
    without = [values[groups != group].mean() for group in range(count)]
    expected = (count - 1) / count * ((np.array(without) - values.mean()) ** 2).sum()
    assert grouped_variance(values, groups * 7) == pytest.approx(expected)


def test_groups_of_one_case_are_no_groups() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert grouped_variance(values, np.arange(50)) == pytest.approx(values.var(ddof=1) / 50)


@pytest.mark.parametrize("count", [10, 40])
def test_intervals_over_groups_cover_95_percent(count: int) -> None:
    """The whole table is in benchmarks/RESULTS.md."""
    found = coverages(groups=count, correlation=0.3, rounds=600, seed=0)
    for kind in ("share", "difference", "trainings"):
        assert 0.92 <= found[kind] <= 0.98, kind
    assert found["share of images"] < 0.8


def test_equal_encoders_are_told_apart_in_5_percent() -> None:
    found = coverages(groups=40, correlation=0.3, rounds=600, seed=1)
    assert found["told apart"] == pytest.approx(0.05, abs=0.025)


def test_all_right_is_not_sure_and_one_group_has_no_interval() -> None:
    alike = Grouped(np.ones(100, bool), np.repeat(np.arange(10), 10))
    found = share(alike)
    assert found.value == 1 and found.ci95 is not None and found.ci95 > 0.2
    one = Grouped(np.arange(10) % 2 > 0, np.zeros(10, np.int64))
    assert share(one).ci95 is None
    assert over_trainings(one.values[None], one.groups).ci95 is None
    assert compare(one, one).verdict == "no difference shown"


def test_cases_in_other_groups_cannot_be_paired() -> None:
    values = np.ones(4, bool)
    one, other = (Grouped(values, np.array(g)) for g in ([0, 0, 1, 1], [0, 1, 0, 1]))
    with pytest.raises(ValueError, match="other groups"):
        compare(one, other)
