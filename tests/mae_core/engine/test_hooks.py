import random
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from downstream.classification import finetune
from mae_core import pretrain
from mae_core.config import load_config
from mae_core.engine.hooks import (
    BatchedRuntimeInfoHook,
    SharedStatisticsHook,
    random_state,
    set_random_state,
)
from mae_core.stage import SilentReporter


class Notes(SilentReporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, int, str]] = []
        self.logged: dict[int, dict[str, float]] = {}

    def progress(self, done: int, total: int, unit: str, **shown: float) -> None:
        assert unit == "evaluation step" or shown["loss"] > 0
        self.shown.append((done, total, unit))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.logged.setdefault(step, {}).update(values)


def test_a_training_reports_at_the_interval_and_at_its_end(configs: Path, tmp_path: Path) -> None:
    notes = Notes()
    pretrain.run(load_config(str(configs / "pretrain.py")), "random", tmp_path / "work", notes)
    assert notes.shown == [(10, 24, "step"), (20, 24, "step"), (24, 24, "step")]
    assert list(notes.logged) == [10, 20, 24]
    assert notes.logged[10].keys() >= {"loss", "lr", "images_per_second"}
    assert all(v > 0 for values in notes.logged.values() for v in values.values())


def test_every_step_loss_is_kept_though_it_is_fetched_at_the_interval(
    configs: Path, tmp_path: Path
) -> None:
    class Fetches(BatchedRuntimeInfoHook):
        def after_train_iter(self, runner: Runner, *arguments: Any, **named: Any) -> None:
            super().after_train_iter(runner, *arguments, **named)
            scalars = runner.message_hub.log_scalars
            kept.append(len(scalars["train/loss"].data[0]) if "train/loss" in scalars else 0)

    kept: list[int] = []
    HOOKS.register_module(module=Fetches)
    config = load_config(str(configs / "pretrain.py"), overrides=["train_cfg.max_epochs=2"])
    config.default_hooks.runtime_info = {"type": "Fetches", "interval": 3}
    pretrain.run(config, "random", tmp_path / "work", SilentReporter())
    assert kept == [0, 0, 3, 4, 4, 6, 6, 8]  # four steps an epoch


def test_an_evaluation_is_reported_at_its_step(configs: Path, tmp_path: Path) -> None:
    notes = Notes()
    config = load_config(str(configs / "finetune.py"))
    config.pop("scratch")
    finetune.run(config, "random", tmp_path / "work", notes)
    found = {step: v["val/top1"] for step, v in notes.logged.items() if "val/top1" in v}
    assert list(found) == [8, 16]
    assert all(0 <= value <= 1 for value in found.values())
    parts = [(done, total) for done, total, unit in notes.shown if unit == "evaluation step"]
    total = parts[0][1]
    assert parts == 2 * [(done, total) for done in range(1, total + 1)]


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@given(seed=st.integers(0, 2**32 - 1), skip=st.integers(0, 700))
def test_a_restored_state_draws_the_same_again(seed: int, skip: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    for _ in range(skip):
        draws()
    np.random.randn()  # leaves half a pair in NumPy's state
    state = random_state()
    expected, _ = [draws(), np.random.randn()], draws()
    set_random_state(state)
    assert [draws(), np.random.randn()] == expected


def shared_statistics(rank: int, folder: str) -> None:
    """A process that sees images of its own; what its norm has gathered goes to a file."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    norm, frozen = torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2).eval()
    frozen.running_mean.fill_(rank)
    norm(torch.full((1, 2, 2, 2), 1.0 + 2 * rank))
    runner: Any = SimpleNamespace(model=torch.nn.Sequential(norm, frozen))
    SharedStatisticsHook().after_train_iter(runner, 0)
    torch.save([norm.running_mean, norm.running_var, frozen.running_mean], f"{folder}/{rank}")
    dist.destroy_process_group()


def test_processes_share_what_their_batch_norms_gather(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(shared_statistics, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / str(rank)) for rank in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    torch.testing.assert_close(first[0], torch.full((2,), 0.1 * (1 + 3) / 2))
    assert first[2].tolist() == [0, 0] and second[2].tolist() == [1, 1]  # it gathers nothing
