"""Linear probe: a batch norm and a linear layer on frozen features."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import set_random_seed
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from downstream.classification.accuracy import top1
from downstream.classification.features import Features, train_and_val_features
from mae_core.checkpoints import save_weights
from mae_core.engine.train import build_runner, train
from mae_core.stage import Reporter, StageResult


class LinearProbe(BaseModel):
    """Batch norm without affine parameters, then a linear layer (paper, A.1 "Linear probing")."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False, eps=1e-6)
        self.head = nn.Linear(width, classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: torch.Tensor, label: torch.Tensor, mode: str = "tensor") -> Any:
        """Features (N, D): 'loss' gives the cross entropy in a dict, 'tensor' logits."""
        logits = self.head(self.norm(inputs))
        return {"loss": F.cross_entropy(logits, label)} if mode == "loss" else logits


class FeatureDataset(Dataset[dict[str, torch.Tensor]]):
    """Features as the Runner wants them."""

    def __init__(self, features: Features) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features.y)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"inputs": self.features.x[index], "label": self.features.y[index]}


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Train the probe on train features; metric `linear-probe/top1` on val features."""
    train_features, val = train_and_val_features(config, encoder, work_dir, reporter)
    set_random_seed(config.seed)
    probe = LinearProbe(train_features.x.shape[1], len(train_features.classes))
    datasets = {"train_dataloader": FeatureDataset(train_features)}
    train(build_runner(config, probe, work_dir, reporter, datasets))
    checkpoint = work_dir / "probe.safetensors"
    save_weights(checkpoint, probe, classes=train_features.classes)
    probe.eval()
    with torch.inference_mode():
        predicted = probe.cpu()(val.x, val.y).argmax(dim=1)
    return StageResult({"linear-probe/top1": top1(predicted == val.y)}, str(checkpoint))
