from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler, normalize

from downstream.classification.knn import check, knn_predict, run
from downstream.outcomes import load_outcomes
from mae_core import UserError
from mae_core.stage import SilentReporter


def clusters(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 5
    x = torch.randn(count, 12, generator=generator) + 0.8 * torch.eye(12)[y] * 3
    return x, y


def test_it_agrees_with_scikit_learn() -> None:
    (x, y), (queries, _) = clusters(200, 0), clusters(90, 1)
    scaler = StandardScaler().fit(x.numpy())
    bank, asked = (normalize(scaler.transform(a.numpy())) for a in (x, queries))
    reference = KNeighborsClassifier(
        9,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / 0.07),
    ).fit(bank, y.numpy())
    predicted = knn_predict(x, y, queries, ks=[9], temperature=0.07, block=32)[0]
    assert (predicted.numpy() == reference.predict(asked)).mean() > 0.98


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


def test_the_stage_separates_easy_classes(features_config: Config, tmp_path: Path) -> None:
    work_dir = tmp_path / "stages" / "knn"
    work_dir.mkdir(parents=True)
    result = run(features_config, "random", work_dir, SilentReporter())
    assert list(result.metrics) == ["knn/top1", "knn/top1_k10", "knn/top1_k100"]
    metric = result.metrics["knn/top1"]
    outcomes = load_outcomes(Path(result.artifacts["outcomes"]))
    assert outcomes["knn/top1"].mean() == pytest.approx(metric.value)
    assert 0.8 < metric.value <= 1
    assert metric.ci95 is not None
