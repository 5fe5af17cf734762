import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn
from sklearn.calibration import calibration_curve
from sklearn.preprocessing import label_binarize

from downstream.classification.card import further
from downstream.classification.metrics import (
    BINS,
    METRICS,
    Scored,
    check_metrics,
    deciding,
    measured,
    resampled,
)
from downstream.outcomes import Resampled, load_outcomes, save_outcomes
from downstream.statistics import compare, normal_quantile, resamples, t_quantile
from mae_core import UserError
from mae_core.data.sources.base import Groups

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]
WITHIN = 1e-9


def answers(count: int, classes: int, seed: int, digits: int = 2) -> tuple[Values, Numbers]:
    """Probabilities with many ties, and labels with every class, some of them right."""
    rng = np.random.default_rng(seed)
    labels = np.append(np.arange(classes), rng.integers(0, classes, count - classes))
    logits = rng.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels]
    shares = np.exp(logits.round(digits) * 0.7)
    return shares / shares.sum(axis=1, keepdims=True), labels


def one_against_rest(function: Callable[..., float]) -> Callable[[Values, Numbers], float]:
    def value(shares: Values, labels: Numbers) -> float:
        if shares.shape[1] == 2:
            return float(function(labels, shares[:, 1]))
        truth = label_binarize(labels, classes=range(shares.shape[1]))
        return float(function(truth, shares, average="macro"))

    return value


def calibration_error(shares: Values, labels: Numbers) -> float:
    sure, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(right, sure, n_bins=BINS)
    counts = np.histogram(sure, BINS, (0, 1))[0]
    return float((np.abs(accuracy - confidence) * counts[counts > 0]).sum() / len(labels))


REFERENCES: dict[str, Callable[[Values, Numbers], float]] = {
    "balanced_accuracy": lambda p, y: sklearn.balanced_accuracy_score(y, p.argmax(axis=1)),
    "macro_f1": lambda p, y: sklearn.f1_score(y, p.argmax(axis=1), average="macro"),
    "auroc": one_against_rest(sklearn.roc_auc_score),
    "average_precision": one_against_rest(sklearn.average_precision_score),
    "quadratic_kappa": lambda p, y: sklearn.cohen_kappa_score(
        y, p.argmax(axis=1), labels=range(p.shape[1]), weights="quadratic"
    ),
    "ece": calibration_error,
}


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=40)
@given(count=st.integers(12, 300), classes=st.integers(2, 7), seed=st.integers(0, 10**6))
def test_each_is_scikit_learns(name: str, count: int, classes: int, seed: int) -> None:
    shares, labels = answers(count, classes, seed)
    found = METRICS[name](shares, labels)(np.ones(count))
    assert found == pytest.approx(REFERENCES[name](shares, labels), abs=WITHIN)


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=20)
@given(classes=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_counting_images_several_times_is_having_them_so_often(
    name: str, classes: int, seed: int
) -> None:
    shares, labels = answers(120, classes, seed)
    times = np.random.default_rng(seed).integers(0, 4, len(labels))
    times[:classes] = 1  # each class stays
    often = np.repeat(np.arange(len(labels)), times)
    found = METRICS[name](shares, labels)(times.astype(np.float64))
    assert found == pytest.approx(REFERENCES[name](shares[often], labels[often]), abs=WITHIN)


def test_a_resample_without_a_class_is_that_of_the_others() -> None:
    shares, labels = answers(60, 3, seed=1)
    times = (labels != 2).astype(np.float64)
    left = labels != 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of answers that are no class there
        expected = REFERENCES["balanced_accuracy"](shares[left], labels[left])
    assert METRICS["balanced_accuracy"](shares, labels)(times) == pytest.approx(expected)
    areas = [sklearn.roc_auc_score(labels[left] == c, shares[left, c]) for c in (0, 1)]
    assert METRICS["auroc"](shares, labels)(times) == pytest.approx(np.mean(areas))


def test_one_class_alone_has_no_value_where_there_is_none() -> None:
    shares, labels = answers(20, 2, seed=0)
    times = (labels == 0).astype(np.float64)
    assert np.isnan(METRICS["auroc"](shares, labels)(times))
    right = np.eye(2)[labels]
    assert np.isnan(METRICS["quadratic_kappa"](right, labels)(times))


def test_logits_and_votes_become_probabilities() -> None:
    shares, labels = answers(200, 4, seed=3)
    y, ones = torch.from_numpy(labels), np.ones(200)
    logits = Scored(torch.from_numpy(np.log(shares) + 5), y)
    votes = Scored(torch.from_numpy(shares * 20), y, are_votes=True)
    for name in METRICS:
        expected = METRICS[name](shares, labels)(ones)
        assert logits.value(name)(ones) == pytest.approx(expected, abs=WITHIN), name
        assert votes.value(name)(ones) == pytest.approx(expected, abs=WITHIN), name


def scored(seed: int, digits: int = 2) -> Scored:
    shares, labels = answers(400, 3, seed, digits)
    return Scored(torch.from_numpy(np.log(shares)), torch.from_numpy(labels))


def test_each_has_an_interval_and_is_compared_in_pairs() -> None:
    config = {"metrics": [*METRICS]}
    metrics, outcomes = measured("knn", scored(0), config)
    assert [*metrics] == [*outcomes] == ["knn/top1", *(f"knn/{name}" for name in METRICS)]
    known = {info.pattern for info in further("kNN")}
    assert known == set(METRICS)
    for name, metric in metrics.items():
        assert 0 < metric.value < 1, name
        assert metric.ci95 is not None, name
        assert 0 < metric.ci95 < 0.15, name
    _, same = measured("knn", scored(0), config)
    compared = compare(outcomes["knn/auroc"], same["knn/auroc"])
    assert (compared.difference, compared.verdict) == (0, "no difference shown")


def test_resamples_are_those_of_all_other_metrics() -> None:
    found = scored(0)
    outcome = resampled(found.value("balanced_accuracy"), 400)
    drawn = resamples(400, seed=0)[17]
    answer, labels = found.scores.argmax(dim=1).numpy(), found.labels.numpy()
    expected = sklearn.balanced_accuracy_score(labels[drawn], answer[drawn])
    assert outcome.values[18] == pytest.approx(expected, abs=WITHIN)


def groups_of(size: int, count: int = 400) -> Groups:
    of = np.arange(count) // size
    return Groups([f"patient {number}" for number in range(of.max() + 1)], of)


def test_of_images_in_groups_whole_groups_are_drawn() -> None:
    found = scored(0)
    value = found.value("macro_f1")
    outcome = resampled(value, 400, groups_of(20))
    times = np.bincount(resamples(20, seed=0)[3], minlength=20).repeat(20).astype(np.float64)
    wider = t_quantile(0.05, 19) / normal_quantile(0.05) * (20 / 19) ** 0.5
    whole = value(np.ones(400))
    assert outcome.values[4] == pytest.approx(whole + wider * (value(times) - whole))
    assert (outcome.groups, len(outcome.values)) == (20, 1001)


def test_groups_of_one_image_each_are_images_but_for_the_width() -> None:
    value = scored(0).value("auroc")
    alone, together = resampled(value, 400), resampled(value, 400, groups_of(1))
    wider = (together.values[1:] - together.values[0]) / (alone.values[1:] - alone.values[0])
    np.testing.assert_allclose(wider, wider[0])
    assert 1 < wider[0] < 1.01


def test_a_single_group_shows_no_interval_and_no_difference() -> None:
    config = {"metrics": ["auroc"]}
    metrics, first = measured("knn", scored(0), config, groups_of(400))
    _, second = measured("knn", scored(1), config, groups_of(400))
    for name, metric in metrics.items():
        assert metric.ci95 is None
        assert compare(first[name], second[name]).verdict == "no difference shown"


def test_groups_are_kept_with_the_outcomes(tmp_path: Path) -> None:
    _, outcomes = measured("knn", scored(0), {"metrics": ["auroc"]}, groups_of(20))
    kept = load_outcomes(Path(save_outcomes(tmp_path, outcomes)["outcomes"]))
    found = kept["knn/auroc"]
    assert isinstance(found, Resampled)
    assert found.groups == 20
    assert np.array_equal(found.values, outcomes["knn/auroc"].values)


def test_without_a_word_there_is_top_1_alone() -> None:
    metrics, outcomes = measured("knn", scored(0), {})
    assert [*metrics] == [*outcomes] == ["knn/top1"]
    assert deciding(scored(0), {}) == pytest.approx(metrics["knn/top1"].value)


def test_the_metric_that_decides_is_named_once() -> None:
    found, config = scored(0), {"decides": "auroc"}
    metrics, _ = measured("knn", found, {"metrics": ["auroc"]})
    assert deciding(found, config) == pytest.approx(metrics["knn/auroc"].value, abs=WITHIN)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"metrics": ["balanced_acuracy"]}, "did you mean 'balanced_accuracy'"),
        ({"metrics": "auroc"}, r"expected a list, such as \['balanced_accuracy'\]"),
        ({"metrics": [3]}, "metrics has 3"),
        ({"decides": "ece"}, "decides='ece': expected one of top1, balanced_accuracy"),
        ({"decides": "top5"}, "decides='top5'"),
    ],
)
def test_a_metric_that_is_not_known_is_refused(config: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        check_metrics(config)
