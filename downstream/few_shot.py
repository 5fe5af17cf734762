"""Few-shot classification: N-way K-shot episodes on frozen features."""

from pathlib import Path

import torch
from mmengine.config import Config
from torch.nn import functional as F

from downstream.classification.features import train_and_val_features
from mae_core.errors import UserError
from mae_core.stage import Metric, Reporter, StageResult


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Mean accuracy over episodes; metrics `few-shot/{n}way{k}shot`.

    Episodes are drawn from val images; train images only give the features' mean and deviation.
    Every encoder gets the same episodes.
    """
    train, val = train_and_val_features(config, encoder, work_dir, reporter)
    x = (val.x - train.x.mean(0)) / train.x.std(0).clamp(min=1e-6)
    metrics = {}
    for done, (ways, shots) in enumerate(config.settings, start=1):
        generator = torch.Generator().manual_seed(config.seed)
        accuracy = torch.stack(
            [
                episode(x, val.y, ways, shots, config.queries, generator)
                for _ in range(config.episodes)
            ]
        )
        metrics[f"few-shot/{ways}way{shots}shot"] = mean_with_interval(accuracy)
        reporter.progress(done, len(config.settings), "setting")
    return StageResult(metrics)


def episode(
    x: torch.Tensor,
    y: torch.Tensor,
    ways: int,
    shots: int,
    queries: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Accuracy () of one episode: queries go to the class of the nearest centroid by cosine.

    Args:
        x: (N, D) features.
        y: (N,) int64 labels.
        ways: classes drawn for the episode.
        shots: images of each class that make its centroid.
        queries: further images of each class, to classify.
        generator: of the draw.

    Raises:
        UserError: if there are too few classes, or images in one.
    """
    classes = torch.unique(y)
    if len(classes) < ways:
        raise UserError(f"{ways}-way episodes need {ways} classes, found {len(classes)}")
    chosen = classes[torch.randperm(len(classes), generator=generator)[:ways]]
    support, query = [], []
    for label in chosen:
        members = torch.nonzero(y == label).flatten()
        if len(members) < shots + queries:
            raise UserError(
                f"class {int(label)} has {len(members)} images, an episode needs "
                f"{shots} shots + {queries} queries"
            )
        drawn = members[torch.randperm(len(members), generator=generator)[: shots + queries]]
        support.append(x[drawn[:shots]].mean(dim=0))
        query.append(x[drawn[shots:]])
    centroids = F.normalize(torch.stack(support))  # (ways, D)
    predicted = (F.normalize(torch.stack(query), dim=-1) @ centroids.T).argmax(dim=-1)
    return (predicted == torch.arange(ways).unsqueeze(1)).float().mean()


def mean_with_interval(values: torch.Tensor) -> Metric:
    """Mean of (E,) values and the half width of its 95 % interval, 1.96 standard errors."""
    return Metric(float(values.mean()), float(1.959964 * values.std() / len(values) ** 0.5))
