"""How bright an image is, by a linear regression on frozen features."""

from pathlib import Path

import torch
from mmengine.config import Config

from downstream.classification.features import check_features, train_and_val_features
from mae_core.data.images import ImageDataset
from mae_core.stage import Metric, Reporter, StageResult


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Metric: `brightness/rmse` of val images, whose interval covers other images."""
    train, val = train_and_val_features(config, encoder, work_dir, reporter)
    known, asked = (
        brightness(ImageDataset(**data)) for data in (config.train_data, config.val_data)
    )
    weights = torch.linalg.lstsq(with_one(train.x), known[:, None]).solution
    squares = (with_one(val.x) @ weights - asked[:, None]).square()
    rmse = squares.mean().sqrt()
    spread = squares.std() / len(squares) ** 0.5 / (2 * rmse)  # delta method
    return StageResult({"brightness/rmse": Metric(float(rmse), 1.96 * float(spread))})


def check(config: Config, encoder: str) -> None:
    """Raise UserError as for all frozen features."""
    check_features(config, encoder)


def brightness(images: ImageDataset) -> torch.Tensor:
    """(N,) mean value of the pixels, 0 to 255."""
    return torch.stack([images[i]["inputs"].float().mean() for i in range(len(images))])


def with_one(x: torch.Tensor) -> torch.Tensor:
    """(N, D) -> (N, D + 1), for the offset."""
    return torch.cat([x, torch.ones(len(x), 1)], dim=1)
