from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler, normalize

from downstream.classification.features import train_and_val_features
from downstream.classification.knn import check, knn_predict, run
from downstream.classification.scaling import standardized
from downstream.outcomes import load_outcomes
from mae_core import UserError
from mae_core.stage import SilentReporter


def clusters(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 5
    x = torch.randn(count, 12, generator=generator) + 0.8 * torch.eye(12)[y] * 3
    return x, y


def test_it_agrees_with_scikit_learn_on_features_of_length_1() -> None:
    (x, y), (queries, _) = clusters(200, 0), clusters(90, 1)
    x, queries = x * torch.arange(1, 13), queries * torch.arange(1, 13)  # not alike in deviation
    bank, asked = (normalize(a.numpy()) for a in (x, queries))
    reference = KNeighborsClassifier(
        9,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / 0.07),
    ).fit(bank, y.numpy())
    predicted = knn_predict(x, y, queries, ks=[9], temperature=0.07, block=32)[0]
    assert (predicted.numpy() == reference.predict(asked)).mean() > 0.98
    scaled, asked_scaled = standardized(x, queries)
    other = knn_predict(scaled, y, asked_scaled, [9], 0.07)[0]
    assert not torch.equal(predicted, other)


def test_standardized_features_are_scikit_learns() -> None:
    (x, _), (queries, _) = clusters(200, 0), clusters(90, 1)
    scaler = StandardScaler().fit(x.numpy())
    for found, plain in zip(standardized(x, queries), (x, queries), strict=True):
        np.testing.assert_allclose(found, scaler.transform(plain.numpy()), rtol=0.01, atol=0.01)


@settings(max_examples=20, deadline=None)
@given(block=st.integers(1, 50), bank_block=st.integers(1, 120), k=st.integers(1, 100))
def test_the_sizes_of_blocks_do_not_matter(block: int, bank_block: int, k: int) -> None:
    (x, y), (queries, _) = clusters(100, 0), clusters(40, 1)
    whole = knn_predict(x, y, queries, [k], 0.07)
    assert torch.equal(knn_predict(x, y, queries, [k], 0.07, block, bank_block), whole)


def test_several_k_are_as_each_alone() -> None:
    (x, y), (queries, _) = clusters(100, 0), clusters(40, 1)
    together = knn_predict(x, y, queries, [20, 3], 0.07)
    for k, labels in zip([20, 3], together, strict=True):
        assert torch.equal(knn_predict(x, y, queries, [k], 0.07)[0], labels)


def test_a_larger_k_than_images_is_told_before_anything_runs(
    features_config: Config,
) -> None:
    features_config.more_k = (200,)
    with pytest.raises(UserError, match=r"k=200 .* found 120"):
        check(features_config, "random")
    x, y = clusters(10, 0)
    with pytest.raises(UserError, match=r"k=11 .* found 10"):
        knn_predict(x, y, x, [11], 0.07)


def test_the_stage_standardizes_if_it_is_told_to(features_config: Config, tmp_path: Path) -> None:
    work_dir = tmp_path / "stages" / "knn"
    work_dir.mkdir(parents=True)
    train, val = train_and_val_features(features_config, "random", work_dir, SilentReporter())
    assert not features_config.standardize
    for standardize in (False, True):
        features_config.update(standardize=standardize, more_k=())
        x, asked = standardized(train.x, val.x) if standardize else (train.x, val.x)
        labels = knn_predict(x, train.y, asked, [20], features_config.temperature)[0]
        result = run(features_config, "random", work_dir, SilentReporter())
        outcomes = load_outcomes(Path(result.artifacts["outcomes"]))["knn/top1"]
        assert np.array_equal(outcomes, (labels == val.y).numpy())


def test_the_stage_separates_easy_classes(features_config: Config, tmp_path: Path) -> None:
    work_dir = tmp_path / "stages" / "knn"
    work_dir.mkdir(parents=True)
    features_config.metrics = ["auroc"]
    result = run(features_config, "random", work_dir, SilentReporter())
    assert list(result.metrics) == ["knn/top1", "knn/auroc", "knn/top1_k10", "knn/top1_k100"]
    assert result.metrics["knn/auroc"].value > 0.95
    metric = result.metrics["knn/top1"]
    outcomes = load_outcomes(Path(result.artifacts["outcomes"]))
    assert outcomes["knn/top1"].mean() == pytest.approx(metric.value)
    assert 0.8 < metric.value <= 1
    assert metric.ci95 is not None
