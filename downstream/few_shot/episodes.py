"""Episodes, drawn and classified many at a time."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from downstream.few_shot.heads import HEADS
from mae_core.errors import UserError

Indices = NDArray[np.int64]
NUMBERS = 1 << 24  # floats that a batch of episodes may take


def accuracies(
    x: torch.Tensor,
    y: torch.Tensor,
    ways: int,
    shots: int,
    queries: int,
    episodes: int,
    heads: Sequence[str],
    seed: int,
) -> dict[str, torch.Tensor]:
    """Accuracy of each head in each episode, (episodes,) float32 by head.

    Args:
        x: (N, D) features; they are scaled to length 1 here.
        y: (N,) int64 labels.
        ways: classes of an episode.
        shots: images of each class that a head learns from.
        queries: further images of each class, to classify.
        episodes: how many.
        heads: names of :data:`HEADS`.
        seed: of the draw.

    Raises:
        UserError: if there are too few classes, or images in one.
    """
    counts = torch.bincount(y).tolist()
    named = {f"class {label}": count for label, count in enumerate(counts) if count}
    check_classes(named, ways, shots, queries)
    unit, rng = F.normalize(x), np.random.default_rng(seed)
    truth = torch.arange(ways).repeat_interleave(queries)
    size = max(NUMBERS // (ways * (shots + queries) * x.shape[1]), 1)
    found: dict[str, list[torch.Tensor]] = {head: [] for head in heads}
    for start in range(0, episodes, size):
        count = min(size, episodes - start)
        drawn = torch.from_numpy(draw(y.numpy(), ways, shots + queries, count, rng))
        support, query = unit[drawn[..., :shots]], unit[drawn[..., shots:]].flatten(1, 2)
        for head, rows in found.items():
            rows.append((HEADS[head](support, query) == truth).float().mean(dim=1))
    return {head: torch.cat(rows) for head, rows in found.items()}


def draw(labels: Indices, ways: int, each: int, episodes: int, rng: np.random.Generator) -> Indices:
    """(episodes, ways, each) numbers of images, none twice in an episode, classes in random order.

    Args:
        labels: (N,).
        ways: classes of an episode.
        each: images of each class; all classes have as many.
        episodes: how many.
        rng: of the draw.
    """
    classes, counts = np.unique(labels, return_counts=True)
    members = np.zeros((len(classes), counts.max()), dtype=np.int64)
    for row, label in enumerate(classes):
        members[row, : counts[row]] = np.flatnonzero(labels == label)
    chosen = rng.random((episodes, len(classes))).argsort(axis=1)[:, :ways]
    keys = rng.random((episodes, ways, counts.max()), dtype=np.float32)
    keys[np.arange(counts.max()) >= counts[chosen][..., None]] = np.inf
    first = np.argpartition(keys, each - 1, axis=-1)[..., :each]
    return np.take_along_axis(members[chosen], first, axis=-1)


def check_classes(counts: Mapping[str, int], ways: int, shots: int, queries: int) -> None:
    """Raise UserError unless there are `ways` classes and each has `shots` + `queries` images."""
    if len(counts) < ways:
        raise UserError(f"{ways}-way episodes need {ways} classes, found {len(counts)}")
    name, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < shots + queries:
        raise UserError(
            f"{name} has {fewest} images, an episode needs {shots} shots + {queries} queries"
        )
