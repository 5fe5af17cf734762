import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from downstream.outcomes import Grouped, Resampled
from downstream.statistics import (
    compare,
    compare_apart,
    holm,
    mean,
    over_resamples,
    over_trainings,
    resamples,
    share,
)
from mae_core.stage import Metric

ROUNDS = 4000  # the standard error of a coverage of 95 % is 0.35 points


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Wilson's score interval of 8 in 10 is 0.4902 to 0.9433.
    metric = share(torch.tensor([True] * 8 + [False] * 2))
    assert metric.value == pytest.approx(0.8)
    assert metric.ci95 == pytest.approx(0.8 - 0.4902, abs=1e-3)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_the_interval_of_a_share_is_scipys(n: int, part: float) -> None:
    k = round(part * n)
    found = share(torch.arange(n) < k)
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    arms = (expected.high - found.value, found.value - expected.low)
    assert found.ci95 == pytest.approx(max(arms), abs=1e-12)


@pytest.mark.parametrize("count", [2, 3, 600])
def test_the_interval_of_a_mean_is_scipys(count: int) -> None:
    values = torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert mean(values).ci95 == pytest.approx((high - low) / 2)


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_a_share_and_its_interval_stay_in_range(correct: list[bool]) -> None:
    metric = share(torch.tensor(correct))
    assert metric.value == pytest.approx(sum(correct) / len(correct))
    assert metric.ci95 is not None and 0 < metric.ci95 < 1


def covered(metrics: list, truth: float) -> float:
    return float(np.mean([abs(m.value - truth) <= m.ci95 for m in metrics]))


def test_intervals_of_shares_cover_95_percent() -> None:
    rng = np.random.default_rng(0)
    draws = torch.from_numpy(rng.random((ROUNDS // 2, 400)) < 0.7)
    assert covered([share(draw) for draw in draws], 0.7) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("count", [5, 600])
def test_intervals_of_means_cover_95_percent(count: int) -> None:
    draws = torch.randn(ROUNDS, count, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.6
    assert covered([mean(draw) for draw in draws], 0.6) == pytest.approx(0.95, abs=0.015)


def trainings(
    rng: np.random.Generator, count: int, hardness: np.ndarray, spread: float
) -> np.ndarray:
    """Outcomes of trainings whose own accuracy is about 0.6 ± spread, on cases of a hardness."""
    own = 0.6 + spread * rng.standard_normal((count, 1))
    return hardness + 0.1 * rng.standard_normal((count, len(hardness))) < own


def test_intervals_over_trainings_cover_95_percent() -> None:
    rng = np.random.default_rng(0)
    found = [
        over_trainings(torch.from_numpy(trainings(rng, 3, rng.random(1000), 0.05)))
        for _ in range(ROUNDS // 2)
    ]
    assert covered(found, 0.6) == pytest.approx(0.95, abs=0.015)


def test_one_training_has_the_interval_of_its_cases() -> None:
    correct = torch.arange(400) % 4 > 0
    alone = over_trainings(correct[None].float())
    assert alone.value == 0.75
    assert alone.ci95 == pytest.approx(1.96 * (0.75 * 0.25 / 399) ** 0.5, rel=1e-3)


def test_mcnemar_counts_the_cases_that_differ() -> None:
    """9 against 1 of 10 that differ: the two tails of Binomial(10, 1/2) are 22 of 1024."""
    first = np.array([True] * 9 + [False] + [True] * 90)
    second = np.array([False] * 9 + [True] + [True] * 90)
    found = compare(first, second)
    assert found.difference == pytest.approx(0.08)
    assert found.p == pytest.approx(22 / 1024)
    assert found.verdict == "better" and compare(second, first).verdict == "worse"
    assert compare(first, first).verdict == "no difference shown"


def test_pairs_show_what_two_intervals_do_not() -> None:
    rng = np.random.default_rng(0)
    second = rng.random(2000) < 0.7
    first = second.copy()
    first[rng.choice(np.flatnonzero(~second), 40, replace=False)] = True
    one, other = share(torch.from_numpy(first)), share(torch.from_numpy(second))
    assert one.ci95 and other.ci95 and one.value - other.value < one.ci95 + other.ci95
    assert compare(first, second).verdict == "better"


@pytest.mark.parametrize("kind", ["episodes", "cases", "trainings"])
def test_equal_encoders_are_told_apart_in_5_percent(kind: str) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        if kind == "episodes":
            pair = rng.normal(0.6, 0.1, (2, 100))
        elif kind == "cases":
            pair = rng.random((2, 1000)) < 0.6
        else:
            hardness = rng.random(500)
            pair = np.stack([trainings(rng, 5, hardness, 0.03) for _ in range(2)])
        found.append(compare(*pair).verdict != "no difference shown")
    assert np.mean(found) == pytest.approx(0.05, abs=0.03)


@given(st.integers(0, 2**32 - 1))
def test_the_difference_turns_with_the_order(seed: int) -> None:
    first, second = np.random.default_rng(seed).random((2, 3, 50)) < 0.5
    one, other = compare(first, second), compare(second, first)
    assert one.difference == pytest.approx(-other.difference)
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
    assert one.p == pytest.approx(other.p)


def test_other_cases_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
        compare(np.zeros(3), np.zeros(4))


def resampled_means(values: np.ndarray) -> Resampled:
    drawn = values[resamples(len(values), 0)].mean(axis=1)
    return Resampled(np.concatenate([[values.mean()], drawn]))


def test_the_interval_of_a_resampled_mean_is_about_that_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    expected = mean(torch.from_numpy(values))
    found = over_resamples(resampled_means(values))
    assert found.value == pytest.approx(expected.value)
    assert found.ci95 == pytest.approx(expected.ci95, rel=0.15)


def test_the_same_resamples_show_a_small_difference() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0.5, 0.2, 200)  # images differ much more than the encoders do
    better = hard + 0.02 + rng.normal(0, 0.01, 200)
    found = compare(resampled_means(better), resampled_means(hard))
    assert found.verdict == "better" and found.difference == pytest.approx(0.02, abs=0.003)
    assert found.low < 0.02 < found.high and found.high - found.low < 0.005
    same = compare(resampled_means(hard), resampled_means(hard))
    assert same.verdict == "no difference shown" and same.difference == 0


def test_resampled_and_plain_outcomes_do_not_pair() -> None:
    values = np.full(1001, 0.5)
    with pytest.raises(ValueError, match="cannot be paired"):
        compare(Resampled(values), values)


def test_resampled_metrics_of_several_trainings_cover_95_percent() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        images = rng.normal(0.5, 0.3, 150)
        runs = []
        for _ in range(3):
            of_training = rng.normal(0, 0.03) + rng.normal(0, 0.05, 150)
            runs.append(resampled_means(images + of_training).values)
        found = over_resamples(Resampled(np.stack(runs)))
        covered += abs(found.value - 0.5) <= found.ci95
    assert 0.92 < covered / 400 < 0.99


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_procedure(values: list[float]) -> None:
    adjusted = holm(values)
    order = np.argsort(values, kind="stable")
    for level in (0.01, 0.05, 0.3):
        rejected = np.zeros(len(values), bool)
        for rank, place in enumerate(order):  # until the first that is not rejected
            if values[place] > level / (len(values) - rank):
                break
            rejected[place] = True
        near = np.isclose(adjusted, level)
        assert ((np.array(adjusted) <= level) == rejected)[~near].all()


def test_numbers_that_are_not_paired_are_told_apart_in_5_percent() -> None:
    rng = np.random.default_rng(0)
    shown = 0
    for _ in range(2000):
        first, second = (mean(rng.normal(0.5, 0.2, 300)) for _ in range(2))
        found = compare_apart(first, second)
        assert found is not None
        shown += found.verdict != "no difference shown"
    assert 0.035 < shown / 2000 < 0.065
    assert compare_apart(first, Metric(0.5)) is None


@pytest.mark.parametrize("trainings", [1, 3])
def test_resamples_that_often_have_no_value_show_nothing(trainings: int) -> None:
    drawn = np.random.default_rng(0).normal(0.6, 0.01, (trainings, 1001))
    drawn[:, 10:100] = np.nan
    first, second = Resampled(drawn.squeeze()), Resampled(drawn.squeeze() - 0.3)
    assert over_resamples(first).ci95 is None
    assert compare(first, second).verdict == "no difference shown"
    drawn[:, 10:100] = 0.6
    assert over_resamples(Resampled(drawn.squeeze())).ci95
    whole = Resampled(drawn.squeeze() - 0.3)
    assert compare(Resampled(drawn.squeeze()), whole).verdict == "better"


def test_a_difference_of_which_nothing_is_known_has_no_bounds_in_any_unit() -> None:
    metres = Resampled(np.array([812.5])), Resampled(np.array([12.5]))
    one = np.zeros(4, dtype=np.int64)
    together = Grouped(np.array([812.5] * 4), one), Grouped(np.array([12.5] * 4), one)
    for first, second in (metres, together):
        found = compare(first, second)
        assert (found.difference, found.low, found.high) == (800, -np.inf, np.inf)
        assert found.verdict == "no difference shown"
