"""A pretraining that is killed twenty times ends as if nothing had happened."""

import os
import random
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mae_core.checkpoints import read_state
from pipelines.cells import launch
from pipelines.cells.cell import Cell
from pipelines.cells.run_cell import Outcome, Setting, run_cell
from pipelines.display import Display
from pipelines.errors import StageFailed
from pipelines.recipes.recipe import load_stage_config
from pipelines.tracking.tracker import Tracker
from tests.tiny import write_configs, write_images

KILLS = 20
STEPS = 800

pytestmark = pytest.mark.slow


class Killer(Display):
    """Kills the running stage at some event that it shows, a random one of the next few."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng
        self.left = KILLS
        self.countdown = 0

    def update(self, *shown: Any) -> None:
        self.countdown -= 1
        if self.countdown < 0 < self.left:
            self.countdown = self.rng.randrange(6)
            self.left -= 1
            (process,) = launch._running
            os.kill(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    folder = tmp_path_factory.mktemp("survival")
    configs = write_configs(folder / "configs", write_images(folder / "data"))
    overrides = [f"train_cfg.max_epochs={STEPS // 4}", "ema=0.99", "train_dataloader.num_workers=1"]
    config = load_stage_config("pretrain", str(configs / "pretrain.py"), overrides)
    return Cell("pretrain", "mae", "random", config)


def survive(cell: Cell, setting: Setting) -> tuple[Outcome, int]:
    """The outcome, and how often the stage had to be started."""
    for starts in range(1, 10 * KILLS):
        try:
            return run_cell(cell, setting), starts
        except StageFailed as failure:
            assert "code -9" in str(failure)
    raise AssertionError("it makes no progress")


def history(setting: Setting, outcome: Outcome, name: str) -> list[tuple[int, float]]:
    points = setting.tracker.client.get_metric_history(outcome.run_id, name)
    return [(point.step, point.value) for point in points]


def test_twenty_kills_leave_the_weights_and_one_continuous_history(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    tracker = Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}")
    undisturbed = Setting(tmp_path / "a", tracker, Display(), "survival", elsewhere=False)
    killer = Killer(random.Random(0))
    disturbed = replace(undisturbed, work_dir=tmp_path / "b", display=killer)
    whole, outcome = run_cell(cell, undisturbed), None
    outcome, starts = survive(cell, disturbed)
    assert starts == KILLS + 1 and killer.left == 0

    expected, found = (read_state(o.result.artifacts["mae"]) for o in (whole, outcome))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert outcome.result.metrics == whole.result.metrics
    for name in ("loss", "lr"):
        once = history(disturbed, outcome, name)
        assert [step for step, _ in once] == list(range(10, STEPS + 1, 10))
        assert once == history(undisturbed, whole, name)
