from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn

from downstream.classification.label_metrics import LABEL_METRICS

Values = NDArray[np.float64]
WITHIN = 1e-9
KIND = {"map": "some", "auroc": "both", "macro_f1": "any"}  # what a label needs to be counted


def answers(count: int, labels: int, seed: int, digits: int) -> tuple[Values, Values]:
    """Probabilities with ties, and labels that some images have, and maybe none or all."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((count, labels)) < rng.random(labels) ** 2).astype(np.float64)
    logits = rng.normal(size=(count, labels)) + 2 * truth - 1
    return (1 / (1 + np.exp(-logits))).round(digits), truth


def there(name: str, shares: Values, truth: Values) -> NDArray[np.bool_]:
    """(L,) the labels that have what a metric needs."""
    if name == "exact_match":
        return np.ones(truth.shape[1], dtype=bool)
    some, all_of_them = truth.any(axis=0), truth.all(axis=0)
    if KIND[name] == "any":
        return some | (shares > 0.5).any(axis=0)
    return some & ~all_of_them if KIND[name] == "both" else some


REFERENCES: dict[str, Callable[[Values, Values], float]] = {
    "map": lambda p, y: sklearn.average_precision_score(y, p, average="macro"),
    "auroc": lambda p, y: sklearn.roc_auc_score(y, p, average="macro"),
    "macro_f1": lambda p, y: sklearn.f1_score(y, p > 0.5, average="macro", zero_division=0),
    "exact_match": lambda p, y: sklearn.accuracy_score(y, p > 0.5),
}


def reference(name: str, shares: Values, truth: Values) -> float:
    """scikit-learn's, of the labels that have what the metric needs."""
    known = there(name, shares, truth)
    if not known.any():
        return float("nan")
    if known.sum() == 1:  # scikit-learn takes a single column for classes
        return float(REFERENCES[name](shares[:, known][:, [0, 0]], truth[:, known][:, [0, 0]]))
    return float(REFERENCES[name](shares[:, known], truth[:, known]))


@pytest.mark.parametrize("name", LABEL_METRICS)
@settings(max_examples=40)
@given(
    count=st.integers(1, 200),
    labels=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    digits=st.sampled_from([1, 2, 12]),
)
def test_each_is_scikit_learns(name: str, count: int, labels: int, seed: int, digits: int) -> None:
    shares, truth = answers(count, labels, seed, digits)
    found = LABEL_METRICS[name](shares, truth)(np.ones(count))
    expected = reference(name, shares, truth)
    assert found == pytest.approx(expected, abs=WITHIN, nan_ok=True)


@pytest.mark.parametrize("name", LABEL_METRICS)
@settings(max_examples=30)
@given(labels=st.integers(1, 5), seed=st.integers(0, 10**6), digits=st.sampled_from([1, 2, 12]))
def test_counting_images_several_times_is_having_them_so_often(
    name: str, labels: int, seed: int, digits: int
) -> None:
    shares, truth = answers(60, labels, seed, digits)
    times = np.random.default_rng(seed).integers(0, 4, 60)
    times[0] = 1
    often = np.repeat(np.arange(60), times)
    found = LABEL_METRICS[name](shares, truth)(times.astype(np.float64))
    expected = reference(name, shares[often], truth[often])
    assert found == pytest.approx(expected, abs=WITHIN, nan_ok=True)


@pytest.mark.parametrize("name", LABEL_METRICS)
def test_the_order_of_images_and_of_labels_is_none(name: str) -> None:
    shares, truth = answers(80, 4, 3, 1)
    images, labels = np.random.default_rng(0).permutation(80), [2, 0, 3, 1]
    found = LABEL_METRICS[name](shares[images][:, labels], truth[images][:, labels])(np.ones(80))
    assert found == pytest.approx(LABEL_METRICS[name](shares, truth)(np.ones(80)), abs=WITHIN)


def test_labels_without_what_a_metric_needs_are_left_out() -> None:
    shares = np.array([[0.9, 0.2, 0.1], [0.4, 0.3, 0.7], [0.1, 0.4, 0.2]])
    truth = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    once = np.ones(3)
    assert LABEL_METRICS["map"](shares, truth)(once) == 1.0  # the first and the third
    assert LABEL_METRICS["auroc"](shares, truth)(once) == 1.0  # the first
    # 2/3 of the first, 1/2 of the third; of the second nothing is asked or answered
    assert LABEL_METRICS["macro_f1"](shares, truth)(once) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert LABEL_METRICS["exact_match"](shares, truth)(once) == 0.0
    alone = np.array([0.0, 0.0, 1.0])  # an image that has the third label alone
    assert np.isnan(LABEL_METRICS["auroc"](shares, truth)(alone))
    for name in ("map", "auroc", "macro_f1"):
        assert np.isnan(LABEL_METRICS[name](shares * 0.5, np.zeros((3, 3)))(once)), name


def test_a_label_of_exactly_one_half_is_not_answered() -> None:
    half, has = np.full((2, 1), 0.5), np.array([[1.0], [0.0]])
    assert LABEL_METRICS["exact_match"](half, has)(np.ones(2)) == 0.5
    assert LABEL_METRICS["macro_f1"](half, has)(np.ones(2)) == 0.0
