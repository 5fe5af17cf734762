from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

from mae_core import UserError
from mae_core.engine.train import build_runner, check_plain, last_checkpoint
from mae_core.stage import SilentReporter
from tests.faults import Evil

LOADER = {
    "batch_size": 2,
    "num_workers": 0,
    "sampler": {"type": "DefaultSampler", "shuffle": False},
    "collate_fn": {"type": "default_collate"},
}


class Line(BaseModel):
    """Notes the rates it is trained with."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.rates: list[float] = []

    def forward(self, x: torch.Tensor, mode: str = "loss") -> dict[str, torch.Tensor]:
        return {"loss": self.layer(x).square().mean()}

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, torch.Tensor]:
        self.rates += optim_wrapper.get_lr()["lr"]
        return super().train_step(data, optim_wrapper)


def train(folder: Path, **fields: Any) -> Line:
    config = Config(
        {
            "seed": 0,
            "train_dataloader": LOADER,
            "train_cfg": {"by_epoch": True, "max_epochs": 2},
            "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 1.0}},
            **fields,
        }
    )
    model, data = Line(), [{"x": torch.ones(1)} for _ in range(8)]
    runner = build_runner(config, model, folder, SilentReporter(), {"train_dataloader": data})
    runner.train()
    return model


def test_a_schedule_gives_warm_up_and_cosine(tmp_path: Path) -> None:
    rates = train(tmp_path, schedule={"warmup_epochs": 1}).rates
    assert rates == pytest.approx([0.001, 0.334, 0.667, 1, 1, 0.8536, 0.5, 0.1464], abs=1e-3)


def test_other_schedulers_are_taken_as_they_are(tmp_path: Path) -> None:
    halve = [{"type": "MultiStepLR", "milestones": [1], "gamma": 0.5}]
    assert train(tmp_path, param_scheduler=halve).rates == [1.0] * 4 + [0.5] * 4


def test_the_rate_scales_with_the_batch_where_asked(tmp_path: Path) -> None:
    scaled = {"base_batch_size": 8, "enable": True}
    assert train(tmp_path, auto_scale_lr=scaled).rates == [0.25] * 8


def test_a_finished_training_is_not_trained_further(tmp_path: Path) -> None:
    assert len(train(tmp_path).rates) == 8
    assert train(tmp_path).rates == []


def test_a_checkpoint_with_code_is_refused_before_it_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path)
    torch.save({"state_dict": Evil()}, tmp_path / "epoch_2.pth")
    with pytest.raises(UserError, match=r"epoch_2\.pth is damaged or holds code.*delete it"):
        train(tmp_path)
    assert "code was executed" not in capsys.readouterr().out


def test_our_checkpoints_are_plain(tmp_path: Path) -> None:
    train(tmp_path)
    check_plain(str(tmp_path / "epoch_2.pth"))


def test_the_last_checkpoint_is_found_after_a_move(tmp_path: Path) -> None:
    train(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    assert last_checkpoint(tmp_path / "new") == str(tmp_path / "new" / "epoch_2.pth")


def test_a_deleted_last_checkpoint_leaves_the_one_before(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    train(tmp_path)
    (tmp_path / "epoch_2.pth").unlink()
    assert last_checkpoint(tmp_path) == str(tmp_path / "epoch_1.pth")
    (tmp_path / "epoch_1.pth").unlink()
    assert last_checkpoint(tmp_path) is None
