from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mae_core import UserError
from mae_core.data.sampler import Draw
from mae_core.engine.train import train
from tests.line import Notes, Points, checkpoint_hook, line, line_runner

EPOCHS = {"by_epoch": True, "max_epochs": 10}  # 40 steps


class Holes(Points):
    """Infinite in some of the steps, each of two draws, counted over the whole process."""

    def __init__(self, *steps: int) -> None:
        super().__init__()
        self.steps = steps

    def __getitem__(self, draw: Draw) -> dict[str, torch.Tensor]:
        item = super().__getitem__(draw)
        bad = (len(self.visited) - 1) // 2 in self.steps
        return {"x": item["x"] * torch.inf} if bad else item


@HOOKS.register_module()
class Weights(Hook):
    """Notes the weights after each step."""

    seen: ClassVar[list[torch.Tensor]] = []

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        self.seen.append(runner.model.layer.weight.detach().clone())


@pytest.mark.parametrize(
    "optimizer", [{"type": "AdamW", "lr": 0.01, "fused": True}, {"type": "SGD", "lr": 0.01}]
)
def test_a_step_that_is_not_finite_changes_nothing(tmp_path: Path, optimizer: Any) -> None:
    Weights.seen, notes = [], Notes()
    model = line(
        tmp_path,
        Holes(1, 2),
        reporter=notes,
        custom_hooks=[{"type": "Weights"}],
        optim_wrapper={"optimizer": optimizer},
    )
    weights = Weights.seen
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[2], weights[3])
    assert model.layer.weight.isfinite().all()
    assert notes.notes == [
        "2 updates up to step 8 were skipped, as their gradients were not finite"
    ]
    assert all(torch.isfinite(torch.tensor(v["loss"])) for v in notes.logged.values())


def test_after_too_many_in_a_row_training_goes_back_with_a_lower_rate(tmp_path: Path) -> None:
    notes = Notes()
    runner = line_runner(tmp_path, Holes(*range(14, 20)), notes, train_cfg=EPOCHS)
    model = train(runner)
    assert notes.notes[1] == (
        "the training diverged; it goes on from step_12.pth with 0.5 times the recipe's learning "
        "rate"
    )
    assert model.rates == [0.01] * 20 + [0.005] * 28  # from step 12 once more
    assert runner.iter == 40 and model.layer.weight.isfinite().all()
    assert list(notes.logged) == [10, 20, 30, 40]


def test_the_rest_of_a_schedule_is_lower_too(tmp_path: Path) -> None:
    plain, cosine = {"train_cfg": EPOCHS}, {"schedule": {"warmup_epochs": 3}}
    expected = line(tmp_path / "a", **plain, **cosine).rates
    found = line(tmp_path / "b", Holes(*range(14, 20)), **plain, **cosine).rates
    assert found[20:] == pytest.approx([rate / 2 for rate in expected[12:]])


def test_a_training_that_diverges_again_and_again_ends_with_advice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"diverges at step 20: .*after 3 returns.*learning rate"):
        line(tmp_path, Holes(*range(14, 1000)), train_cfg=EPOCHS)


def test_a_training_that_never_was_finite_ends_with_advice(tmp_path: Path) -> None:
    late = checkpoint_hook(interval=5)
    with pytest.raises(UserError, match=r"diverges at step 10: .*Lower the learning rate"):
        line(tmp_path, Holes(*range(100)), train_cfg=EPOCHS, default_hooks=late)
