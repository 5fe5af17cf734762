import json
from itertools import product
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from downstream.classification.features import Features, train_and_val_features
from downstream.classification.grid import GridProbe, Setting, fit, run, scored, settings_of
from downstream.parts import PartReporter
from mae_core.checkpoints import read_metadata, read_state
from mae_core.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on
from tests.line import Notes


@pytest.fixture
def config(garments: Path) -> Config:
    config = on(load_config("linear_probe/vit-micro-p6_1xb500-25e_demo"), garments)
    config.pool = "last2"
    config.train_dataloader.batch_size = 20
    config.train_cfg.max_epochs = 30
    config.rates, config.decays = (0.1, 0.3, 1.0, 3.0), (0.0, 1e-4)
    config.optim_wrapper.optimizer.lr = 2.0
    return config


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "stages" / "probe"
    folder.mkdir(parents=True)
    return folder


def test_it_is_as_good_as_logistic_regression_and_its_winner_is_what_is_kept(
    config: Config, work_dir: Path
) -> None:
    result = run(config, "random", work_dir, SilentReporter())
    train, val = train_and_val_features(config, "random", work_dir, SilentReporter())
    scaler = StandardScaler().fit(train.x)
    reference = LogisticRegression(max_iter=500).fit(scaler.transform(train.x), train.y)
    expected = reference.score(scaler.transform(val.x), val.y)
    assert abs(result.metrics["linear-probe/top1"].value - expected) < 0.05
    table = json.loads(Path(result.artifacts["grid"]).read_text())
    assert len(table["settings"]) == 32
    assert table["won"] == max(table["settings"], key=lambda row: row["held_out_top1"])
    setting = Setting(**read_metadata(str(result.checkpoint))["setting"])
    assert setting._asdict().items() <= table["won"].items()
    probe = GridProbe(train.x.shape[1], 4, [setting.columns(train.x.shape[1], config.pool)])
    probe.load_state_dict(read_state(str(result.checkpoint)))
    found = scored(probe.eval(), 0, val).correct
    assert float(found.float().mean()) == pytest.approx(result.metrics["linear-probe/top1"].value)


def test_another_metric_chooses_the_setting_if_it_is_named(config: Config, work_dir: Path) -> None:
    config.metrics, config.decides = ["auroc", "ece"], "auroc"
    config.train_cfg.max_epochs, config.rates = 2, (0.01, 0.1)
    told = Notes()
    result = run(config, "random", work_dir, told)
    table = json.loads(Path(result.artifacts["grid"]).read_text())
    assert table["won"] == max(table["settings"], key=lambda row: row["held_out_auroc"])
    assert "won with auroc " in "".join(told.notes)
    for name in ("top1", "auroc", "ece"):
        assert 0 < result.metrics[f"linear-probe/{name}"].value <= 1
    assert result.metrics["linear-probe/ece"].ci95


def test_a_head_learns_the_same_alone_as_in_the_grid(config: Config, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    x = torch.randn(60, 12, generator=generator) + torch.eye(12)[y]
    features = Features(x, y, ("a", "b", "c"))
    settings = [Setting(0.3, 0.0, 1), Setting(1.0, 1e-2, 2, True), Setting(0.1, 1e-3, 1)]
    config.train_cfg.max_epochs = 3
    grid = fit(config, settings, features, tmp_path, PartReporter(SilentReporter(), "all", 0, 1))
    alone = PartReporter(SilentReporter(), "alone", 0, 1)
    first = fit(config, settings[:1], features, tmp_path, alone).heads[0]
    torch.testing.assert_close(first.weight, grid.heads[0].weight)
    torch.testing.assert_close(first.bias, grid.heads[0].bias)


def test_the_grid_is_dinov2s() -> None:
    """`setup_linear_classifiers` and the defaults of its eval/linear.py."""
    settings = settings_of(
        load_config("linear_probe/vit-micro-p6_1xb500-25e_demo", overrides=["pool=last4"])
    )
    rates = [m * 10.0**e for e in range(-5, -1) for m in (1, 2, 5)] + [0.1]
    assert len(settings) == 13 * 2 * 2
    assert {(s.blocks, s.avgpool) for s in settings} == {(n, a) for n in (1, 4) for a in (0, 1)}
    assert sorted({s.rate for s in settings}) == pytest.approx(rates)
    assert {s.decay for s in settings} == {0.0}


def test_a_head_sees_the_columns_of_its_blocks() -> None:
    """Of width 3: the class tokens of blocks 3 to 6 of six, then the mean of the patches."""
    x = torch.cat([torch.full((2, 3), float(n)) for n in (3, 4, 5, 6, 99)], dim=1)
    seen = {
        (blocks, avgpool): x[0, slice(*Setting(1.0, 0.0, blocks, avgpool).columns(15, "last4"))]
        for blocks, avgpool in product((1, 4), (False, True))
    }
    found = {key: columns[::3].int().tolist() for key, columns in seen.items()}
    assert found == {
        (1, False): [6],
        (1, True): [6, 99],
        (4, False): [3, 4, 5, 6],
        (4, True): [3, 4, 5, 6, 99],
    }


def test_the_logits_are_each_heads_in_their_order() -> None:
    torch.manual_seed(0)
    columns = [(0, 2), (0, 2), (1, 4), (0, 2)]
    probe, x = GridProbe(4, 3, columns).eval(), torch.randn(5, 4)
    expected = [h(probe.norm(x)[:, a:b]) for h, (a, b) in zip(probe.heads, columns, strict=True)]
    torch.testing.assert_close(probe(x, torch.zeros(0)), torch.stack(expected, dim=1))


def test_rates_and_decays_reach_their_heads(config: Config) -> None:
    probe = GridProbe(4, 3, [(0, 4), (1, 3)])
    wrapper = build_optim_wrapper(
        probe,
        {
            "type": "OptimWrapper",
            "constructor": "GridConstructor",
            "optimizer": {"type": "SGD", "lr": 0.5},
            "paramwise_cfg": {"settings": [(0.1, 0.0), (2.0, 0.01)]},
        },
    )
    found = [(group["lr"], group["weight_decay"]) for group in wrapper.param_groups[:2]]
    assert found == [(0.05, 0.0), (1.0, 0.01)]


def test_an_image_left_over_for_a_batch_of_its_own_does_no_harm(
    config: Config, work_dir: Path
) -> None:
    config.train_dataloader.batch_size = 7  # 120 images: 17 batches and one image
    result = run(config, "random", work_dir, SilentReporter())
    assert result.metrics["linear-probe/top1"].value > 0.9
