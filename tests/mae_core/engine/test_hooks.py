import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from downstream.classification import finetune
from mae_core import pretrain
from mae_core.engine.config import load_config
from mae_core.engine.hooks import random_state, set_random_state
from mae_core.stage import SilentReporter


class Notes(SilentReporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, int, str]] = []
        self.logged: dict[int, dict[str, float]] = {}

    def progress(self, done: int, total: int, unit: str, **shown: float) -> None:
        assert shown["loss"] > 0
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


def test_an_evaluation_is_reported_at_its_step(configs: Path, tmp_path: Path) -> None:
    notes = Notes()
    config = load_config(str(configs / "finetune.py"))
    finetune.run(config, "random", tmp_path / "work", notes)
    found = {step: v["val/top1"] for step, v in notes.logged.items() if "val/top1" in v}
    assert list(found) == [8, 16]
    assert all(0 <= value <= 1 for value in found.values())


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
