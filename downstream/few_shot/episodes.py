"""Episodes, drawn and classified many at a time."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from downstream.few_shot.heads import HEADS
from downstream.outcomes import Episodes
from mae_core.errors import UserError

Indices = NDArray[np.int64]
TRIES = 1000  # of a draw
NUMBERS = 1 << 22  # floats that a batch of episodes may take


def classified(
    x: torch.Tensor,
    y: torch.Tensor,
    ways: int,
    shots: int,
    queries: int,
    episodes: int,
    heads: Sequence[str],
    seed: int,
    new_classes: bool = False,
    groups: Indices | None = None,
) -> dict[str, Episodes]:
    """What each head makes of the same episodes, by head.

    Args:
        x: (N, D) features; they are scaled to length 1 here.
        y: (N,) int64 labels.
        ways: classes of an episode.
        shots: images of each class that a head learns from.
        queries: further images of each class, to classify.
        episodes: how many.
        heads: names of :data:`HEADS`.
        seed: of the draw.
        new_classes: see :class:`downstream.outcomes.Episodes`.
        groups: (N,) numbers of the images' groups, see :func:`draw_apart`.

    Raises:
        UserError: if there are too few classes, or images in one, or groups.
    """
    counts = torch.bincount(y).tolist()
    named = {f"class {label}": count for label, count in enumerate(counts) if count}
    check_classes(named, ways, shots, queries)
    unit, rng = F.normalize(x), np.random.default_rng(seed)
    if groups is None:
        images = draw(y.numpy(), ways, shots + queries, episodes, rng)
    else:
        images = draw_apart(y.numpy(), groups, ways, shots, queries, episodes, rng)
    truth = torch.arange(ways).repeat_interleave(queries)
    size = max(NUMBERS // (ways * (shots + queries) * x.shape[1]), 1)
    found: dict[str, list[torch.Tensor]] = {head: [] for head in heads}
    for part in torch.from_numpy(images).split(size):
        support = F.embedding(part[..., :shots], unit)
        query = F.embedding(part[..., shots:].flatten(1), unit)
        for head, rows in found.items():
            rows.append(HEADS[head](support, query) == truth)
    classes = y.numpy()[images[..., 0]]
    return {
        head: Episodes(
            torch.cat(rows).unflatten(1, (ways, queries)).numpy(),
            images,
            classes,
            new_classes,
            groups,
        )
        for head, rows in found.items()
    }


def draw(labels: Indices, ways: int, each: int, episodes: int, rng: np.random.Generator) -> Indices:
    """(episodes, ways, each) numbers of images, none twice in an episode, classes in random order.

    Args:
        labels: (N,).
        ways: classes of an episode.
        each: images of each class; all classes have as many.
        episodes: how many.
        rng: of the draw.
    """
    _, counts = np.unique(labels, return_counts=True)
    order = np.argsort(labels, kind="stable")  # the images class by class, which begin at `first`
    first = counts.cumsum() - counts
    classes = distinct(np.full(episodes, len(counts)), ways, rng)
    places = distinct(counts[classes].ravel(), each, rng).reshape(episodes, ways, each)
    return order[first[classes][..., None] + places]


def draw_apart(
    labels: Indices,
    groups: Indices,
    ways: int,
    shots: int,
    queries: int,
    episodes: int,
    rng: np.random.Generator,
) -> Indices:
    """As :func:`draw`, with no group of an episode's shots among the groups of its queries.

    In each episode a random half of the groups gives the shots, the rest the queries; a draw that
    leaves a class with too few images is repeated.

    Args:
        labels, groups: (N,).
        ways: classes of an episode.
        shots, queries: images of each class.
        episodes: how many.
        rng: of the draw.

    Raises:
        UserError: if no draw of :data:`TRIES` gives every class enough.
    """
    known = np.unique(labels)
    members = {label: np.flatnonzero(labels == label) for label in known.tolist()}
    numbers, of = np.unique(groups, return_inverse=True)
    found = np.empty((episodes, ways, shots + queries), dtype=np.int64)
    for episode in range(episodes):
        for _ in range(TRIES):
            classes = rng.choice(known, ways, replace=False).tolist()
            gives = rng.permutation(len(numbers)) < len(numbers) / 2
            sides = [gives[of[members[label]]] for label in classes]
            if all(side.sum() >= shots and (~side).sum() >= queries for side in sides):
                break
        else:
            raise UserError(
                f"{ways}-way episodes with {shots} shots and {queries} queries of a class need "
                f"shots and queries of other groups, which {len(numbers)} groups do not give: "
                "take fewer of them, or images of more groups"
            )
        for way, (label, side) in enumerate(zip(classes, sides, strict=True)):
            own = members[label]
            found[episode, way, :shots] = rng.choice(own[side], shots, replace=False)
            found[episode, way, shots:] = rng.choice(own[~side], queries, replace=False)
    return found


def distinct(sizes: Indices, count: int, rng: np.random.Generator) -> Indices:
    """(R, count) numbers, those of a row distinct and below its entry in `sizes` (R,).

    Floyd's algorithm (Bentley and Floyd 1987) for all rows at once, then each in random order.
    """
    drawn = np.empty((len(sizes), count), dtype=np.int64)
    for column in range(count):
        last = sizes - count + column
        number = rng.integers(last + 1)
        taken = (drawn[:, :column] == number[:, None]).any(axis=1)
        drawn[:, column] = np.where(taken, last, number)
    return rng.permuted(drawn, axis=1)


def check_classes(counts: Mapping[str, int], ways: int, shots: int, queries: int) -> None:
    """Raise UserError unless there are `ways` classes and each has `shots` + `queries` images."""
    if len(counts) < ways:
        raise UserError(f"{ways}-way episodes need {ways} classes, found {len(counts)}")
    name, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < shots + queries:
        raise UserError(
            f"{name} has {fewest} images, an episode needs {shots} shots + {queries} queries"
        )
