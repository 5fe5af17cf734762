"""k nearest neighbours on frozen features."""

from pathlib import Path

import torch
from mmengine.config import Config
from torch.nn import functional as F

from downstream.classification.accuracy import top1
from downstream.classification.features import train_and_val_features
from mae_core.errors import UserError
from mae_core.stage import Reporter, StageResult


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Classify val images by their nearest train images; metric `knn/top1`."""
    train, val = train_and_val_features(config, encoder, work_dir, reporter)
    predicted = knn_predict(train.x, train.y, val.x, config.k, config.temperature)
    return StageResult({"knn/top1": top1(predicted == val.y)})


def knn_predict(
    x: torch.Tensor,
    y: torch.Tensor,
    queries: torch.Tensor,
    k: int,
    temperature: float,
    block: int = 1024,
) -> torch.Tensor:
    """Weighted vote of the k nearest by cosine (Wu et al. 2018, 3.4).

    Args:
        x: (N, D) features, centred and scaled by their own mean and deviation here.
        y: (N,) int64 labels.
        queries: (M, D), scaled as `x` is.
        k: neighbours, at most N.
        temperature: a neighbour's weight is exp(cosine / temperature).
        block: queries compared at once.

    Returns:
        (M,) int64 labels.

    Raises:
        UserError: if k is larger than N.
    """
    if k > len(x):
        raise UserError(f"knn k={k} needs as many train images, found {len(x)}")
    mean, std = x.mean(0), x.std(0).clamp(min=1e-6)
    bank = F.normalize((x - mean) / std)
    votes = F.one_hot(y).float()
    labels = []
    for part in F.normalize((queries - mean) / std).split(block):
        cosine, index = (part @ bank.T).topk(k)  # (B, k)
        weight = (cosine / temperature).exp().unsqueeze(-1)
        labels.append((votes[index] * weight).sum(dim=1).argmax(dim=1))
    return torch.cat(labels)
