from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler, normalize

from downstream.classification.knn import knn_predict, run
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
    predicted = knn_predict(x, y, queries, k=9, temperature=0.07, block=32)
    assert (predicted.numpy() == reference.predict(asked)).mean() > 0.98


def test_the_block_size_does_not_matter() -> None:
    (x, y), (queries, _) = clusters(100, 0), clusters(40, 1)
    first, second = (knn_predict(x, y, queries, 5, 0.07, block) for block in (7, 1000))
    assert torch.equal(first, second)


def test_a_larger_k_than_images_is_the_users_mistake() -> None:
    x, y = clusters(10, 0)
    with pytest.raises(UserError, match=r"k=11 .* found 10"):
        knn_predict(x, y, x, 11, 0.07)


def test_the_stage_separates_easy_classes(features_config: Config, tmp_path: Path) -> None:
    work_dir = tmp_path / "stages" / "knn"
    work_dir.mkdir(parents=True)
    metric = run(features_config, "random", work_dir, SilentReporter()).metrics["knn/top1"]
    assert 0.8 < metric.value <= 1
    assert metric.ci95 is not None
