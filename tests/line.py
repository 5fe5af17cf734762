"""A training that takes a moment: one linear layer, seen through our Runner."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner, set_random_seed
from torch import nn
from torch.utils.data import Dataset

from mae_core.data.sampler import Draw
from mae_core.engine.train import build_runner, train
from mae_core.noise import uniform
from mae_core.stage import SilentReporter

HOOKS = {
    "checkpoint": {"type": "StepCheckpointHook"},
    "runtime_info": {"type": "BatchedRuntimeInfoHook"},
}

LOADER = {
    "batch_size": 2,
    "num_workers": 0,
    "drop_last": True,
    "sampler": {"type": "DrawSampler"},
    "collate_fn": {"type": "default_collate"},
}


def checkpoint_hook(**fields: Any) -> dict[str, Any]:
    """`default_hooks` with other settings of the checkpoints."""
    return {**HOOKS, "checkpoint": {**HOOKS["checkpoint"], **fields}}


class Points(Dataset[dict[str, torch.Tensor]]):
    """`count` points (4,), each shifted by what its draw's seed says, or its number."""

    def __init__(self, count: int = 8) -> None:
        self.points = torch.arange(count * 4).reshape(count, 4) / count
        self.visited: list[int] = []

    def __deepcopy__(self, memo: Any) -> "Points":
        return self  # the Runner copies what it is given; the test looks at this one

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, draw: Draw | int) -> dict[str, torch.Tensor]:
        draw = Draw(draw, draw) if isinstance(draw, int) else draw
        self.visited.append(draw.index)
        return {"x": self.points[draw.index] + uniform(torch.tensor([draw.seed]), 4)[0]}


class Line(BaseModel):
    """Notes the rates it is trained with; its loss has noise from torch's global state."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.rates: list[float] = []

    def forward(self, x: torch.Tensor, mode: str = "loss") -> dict[str, torch.Tensor]:
        return {"loss": (self.layer(x) + 0.1 * torch.randn(len(x), 1)).square().mean()}

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, torch.Tensor]:
        self.rates += optim_wrapper.get_lr()["lr"]
        return super().train_step(data, optim_wrapper)


class Notes(SilentReporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.logged: dict[int, dict[str, float]] = {}

    def log(self, values: Any, step: int) -> None:
        self.logged.setdefault(step, {}).update(values)

    def note(self, text: str) -> None:
        self.notes.append(text)


def line_runner(
    folder: Path, data: Dataset[Any] | None = None, reporter: Any = None, **fields: Any
) -> Runner:
    """Eight points, two a step, two epochs, unless `fields` say otherwise."""
    config = Config(
        {
            "seed": 0,
            "train_dataloader": LOADER,
            "train_cfg": {"by_epoch": True, "max_epochs": 2},
            "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 0.01, "fused": True}},
            "default_hooks": HOOKS,
            **fields,
        }
    )
    set_random_seed(0)
    datasets = {"train_dataloader": Points() if data is None else data}
    return build_runner(config, Line(), folder, reporter or SilentReporter(), datasets)


def line(folder: Path, data: Dataset[Any] | None = None, **fields: Any) -> Line:
    """The trained model."""
    model = train(line_runner(folder, data, **fields))
    assert isinstance(model, Line)
    return model
