from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sklearn

from downstream.classification.number_metrics import LOWER_IS_BETTER, NUMBER_METRICS

Values = NDArray[np.float64]
WITHIN = 1e-9
REFERENCES: dict[str, Callable[[Values, Values], float]] = {
    "r2": lambda a, y: sklearn.r2_score(y, a),
    "mae": lambda a, y: sklearn.mean_absolute_error(y, a),
    "rmse": lambda a, y: sklearn.root_mean_squared_error(y, a),
    "spearman": lambda a, y: stats.spearmanr(a[:, 0], y[:, 0]).statistic,
}


def answers(count: int, seed: int, digits: int, offset: float) -> tuple[Values, Values]:
    """Numbers around `offset` with a deviation of about 1, and answers; the fewer digits, ties."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(count, 1)).round(digits)
    answer = (0.7 * truth + 0.5 * rng.normal(size=(count, 1))).round(digits)
    truth[:2, 0], answer[:2, 0] = (-1, 1), (-2, 1)  # neither is constant
    return offset + answer, offset + truth


@pytest.mark.parametrize("name", NUMBER_METRICS)
@settings(max_examples=40)
@given(
    count=st.integers(2, 200),
    seed=st.integers(0, 10**6),
    digits=st.sampled_from([0, 1, 12]),
    offset=st.sampled_from([0.0, -3.0, 1e6]),
)
def test_each_is_scikit_learns(
    name: str, count: int, seed: int, digits: int, offset: float
) -> None:
    found = answers(count, seed, digits, offset)
    value = NUMBER_METRICS[name](*found)(np.ones(count))
    assert value == pytest.approx(REFERENCES[name](*found), abs=WITHIN)


@pytest.mark.parametrize("name", NUMBER_METRICS)
@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    digits=st.sampled_from([0, 1, 12]),
    offset=st.sampled_from([0.0, 1e6]),
)
def test_counting_images_several_times_is_having_them_so_often(
    name: str, seed: int, digits: int, offset: float
) -> None:
    answer, truth = answers(60, seed, digits, offset)
    times = np.random.default_rng(seed).integers(0, 4, 60)
    times[:2] = 1
    often = np.repeat(np.arange(60), times)
    value = NUMBER_METRICS[name](answer, truth)(times.astype(np.float64))
    assert value == pytest.approx(REFERENCES[name](answer[often], truth[often]), abs=WITHIN)


@pytest.mark.parametrize("name", NUMBER_METRICS)
def test_an_offset_of_a_million_changes_nothing(name: str) -> None:
    answer, truth = answers(500, 0, 3, 0.0)
    once = np.ones(500)
    moved = NUMBER_METRICS[name](answer + 1e6, truth + 1e6)(once)
    assert moved == pytest.approx(NUMBER_METRICS[name](answer, truth)(once), abs=WITHIN)


def test_right_answers_and_the_mean_are_the_ends_of_the_scale() -> None:
    _, truth = answers(100, 1, 12, 40.0)
    once = np.ones(100)
    at_best = {"r2": 1.0, "mae": 0.0, "rmse": 0.0, "spearman": 1.0}
    for name, best in at_best.items():
        assert NUMBER_METRICS[name](truth, truth)(once) == pytest.approx(best, abs=WITHIN), name
    mean = np.full((100, 1), truth.mean())
    assert NUMBER_METRICS["r2"](mean, truth)(once) == pytest.approx(0, abs=WITHIN)
    assert NUMBER_METRICS["r2"](mean + 5, truth)(once) < 0
    assert NUMBER_METRICS["rmse"](mean, truth)(once) == pytest.approx(truth.std())
    assert {*LOWER_IS_BETTER} == {name for name, best in at_best.items() if best == 0}


def test_what_does_not_vary_among_the_images_that_count_has_no_value() -> None:
    truth = np.array([[0.1], [0.1], [0.1], [7.0]])
    answer = np.array([[0.3], [0.2], [0.1], [0.4]])
    equal = np.array([3.0, 1.0, 2.0, 0.0])
    for name in ("r2", "spearman"):
        assert np.isnan(NUMBER_METRICS[name](answer, truth)(equal)), name
        assert np.isfinite(NUMBER_METRICS[name](answer, truth)(np.ones(4))), name
    assert np.isnan(NUMBER_METRICS["spearman"](truth, answer)(equal))
    assert NUMBER_METRICS["r2"](truth, answer)(equal) < 0
    assert NUMBER_METRICS["mae"](answer, truth)(equal) == pytest.approx((3 * 0.2 + 0.1) / 6)


@pytest.mark.parametrize("name", NUMBER_METRICS)
def test_an_answer_that_is_no_number_is_not_ranked_as_one(name: str) -> None:
    answer, truth = answers(20, 0, 3, 0.0)
    answer[4] = np.nan
    assert np.isnan(NUMBER_METRICS[name](answer, truth)(np.ones(20)))
