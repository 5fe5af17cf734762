from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from downstream.classification.features import train_and_val_features
from downstream.classification.linear_probe import run
from mae_core.engine.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on


def test_it_is_as_good_as_logistic_regression_and_repeatable(
    garments: Path, tmp_path: Path
) -> None:
    config = on(load_config("linear_probe/vit-micro-p6_1xb500-60e_demo"), garments)
    config.train_dataloader.batch_size = 20
    values = []
    for name in ("a", "b"):
        work_dir = tmp_path / "stages" / name
        work_dir.mkdir(parents=True)
        values.append(run(config, "random", work_dir, SilentReporter()).metrics)
    train, val = train_and_val_features(config, "random", work_dir, SilentReporter())
    scaler = StandardScaler().fit(train.x)
    reference = LogisticRegression(max_iter=500).fit(scaler.transform(train.x), train.y)
    expected = reference.score(scaler.transform(val.x), val.y)
    assert values[0] == values[1]
    assert abs(values[0]["linear-probe/top1"].value - expected) < 0.05
    assert torch.unique(val.y).numel() == 4
