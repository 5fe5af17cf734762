"""k nearest neighbours on frozen features."""

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch.nn import functional as F

from downstream.classification.features import check_features, train_and_val_features
from downstream.outcomes import save_outcomes
from downstream.statistics import share
from mae_core.data.images import ImageDataset
from mae_core.errors import UserError
from mae_core.stage import Reporter, StageResult


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Classify val images by their nearest train images.

    Metrics: `knn/top1` with `config.k` neighbours, and `knn/top1_k<n>` for each in `config.more_k`.
    """
    train, val = train_and_val_features(config, encoder, work_dir, reporter)
    ks = [config.k, *config.more_k]
    labels = knn_predict(train.x, train.y, val.x, ks, config.temperature)
    names = ["knn/top1", *(f"knn/top1_k{k}" for k in config.more_k)]
    outcomes = {name: row == val.y for name, row in zip(names, labels, strict=True)}
    metrics = {name: share(correct) for name, correct in outcomes.items()}
    return StageResult(metrics, artifacts=save_outcomes(work_dir, outcomes))


def check(config: Config, encoder: str) -> None:
    """Raise UserError as for all frozen features, or for more neighbours than train images."""
    train, _ = check_features(config, encoder)
    check_k(max([config.k, *config.more_k]), train)


def check_k(k: int, bank: ImageDataset | torch.Tensor) -> None:
    """Raise UserError if there are not k neighbours."""
    if k > len(bank):
        raise UserError(f"knn k={k} needs as many train images, found {len(bank)}")


def knn_predict(
    x: torch.Tensor,
    y: torch.Tensor,
    queries: torch.Tensor,
    ks: Sequence[int],
    temperature: float,
    block: int = 1024,
    bank_block: int = 1 << 17,
) -> torch.Tensor:
    """Weighted vote of the k nearest by cosine (Wu et al. 2018, 3.4), exact for any number.

    Args:
        x: (N, D) features, centred and scaled by their own mean and deviation here.
        y: (N,) int64 labels.
        queries: (M, D), scaled as `x` is.
        ks: numbers of neighbours, each at most N.
        temperature: a neighbour's weight is exp(cosine / temperature).
        block: queries compared at once.
        bank_block: rows of `x` compared at once; the device holds no more of them.

    Returns:
        (len(ks), M) int64 labels.

    Raises:
        UserError: if a k is larger than N.
    """
    check_k(max(ks), x)
    device, classes = get_device(), int(y.max()) + 1
    mean, std = x.mean(0), x.std(0).clamp(min=1e-6)
    labels = []
    for part in queries.split(block):
        asked = F.normalize((part - mean) / std).to(device)
        cosine, index = nearest(x, (mean, std), asked, max(ks), bank_block)
        weight = ((cosine - 1) / temperature).exp()  # the largest is 1, whatever the temperature
        near = y.to(device)[index]
        votes = [vote(near[:, :k], weight[:, :k], classes) for k in ks]
        labels.append(torch.stack(votes).cpu())
    return torch.cat(labels, dim=1)


def nearest(
    x: torch.Tensor,
    scale: tuple[torch.Tensor, torch.Tensor],
    asked: torch.Tensor,
    k: int,
    block: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and indices (B, k) of the nearest rows of `x`, the nearest first."""
    mean, std = scale
    best = torch.empty(len(asked), 0, device=asked.device)
    index = torch.empty(len(asked), 0, dtype=torch.int64, device=asked.device)
    for start in range(0, len(x), block):
        rows = F.normalize((x[start : start + block] - mean) / std).to(asked.device)
        cosine, place = (asked @ rows.T).topk(min(k, len(rows)))
        best, index = torch.cat([best, cosine], 1), torch.cat([index, place + start], 1)
        best, order = best.topk(min(k, best.shape[1]))
        index = index.gather(1, order)
    return best, index


def vote(labels: torch.Tensor, weights: torch.Tensor, classes: int) -> torch.Tensor:
    """(B,) the label with the largest sum of weights, both (B, k)."""
    votes = torch.zeros(len(labels), classes, device=labels.device)
    return votes.scatter_add_(1, labels, weights).argmax(dim=1)
