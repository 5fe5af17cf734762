"""k nearest neighbours on frozen features; they also choose the layer of these."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch.nn import functional as F

from downstream.classification.answers import MAIN, kind_of
from downstream.classification.features import (
    Features,
    check_features,
    train_and_val_features,
)
from downstream.classification.layers import check_decides, has_best, split_off
from downstream.classification.metrics import (
    Scored,
    check_metrics,
    decider,
    deciding,
    in_words,
    measured,
    metric_of,
    outcome_of,
)
from downstream.classification.scaling import standardized
from downstream.outcomes import save_outcomes
from mae_core.data.images import ImageDataset
from mae_core.errors import UserError
from mae_core.files import write_json
from mae_core.kinds import ABOVE_0, FLAG, check_kinds, list_of, maybe, whole
from mae_core.stage import Reporter, StageResult

K, TEMPERATURE = 20, 0.07  # where it chooses a layer for others, as in DINO (arXiv 2104.14294)
KINDS = {
    "k": whole(1),
    "more_k": list_of(whole(1)),
    "temperature": ABOVE_0,
    "standardize": maybe(FLAG),
}
Nearest = tuple[torch.Tensor, torch.Tensor]  # cosines and indices, (B, k), the nearest first


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Answer for val images by their nearest train images.

    Metrics: those of :func:`measured` with `config.k` neighbours, whose votes are the scores, and
    `knn/top1_k<n>`, or the main one of other answers, for each in `config.more_k`.
    With `config.standardize` each dimension has mean 0 and deviation 1 on the train images. With
    `layer='best'` the artifact `layers` says what each layer reaches, see :func:`best_layer`.
    """
    train, val = train_and_val_features(config, encoder, work_dir, reporter)
    layers: dict[str, str] = {}
    if has_best(config):
        chosen, layers = best_layer(train, config, config.k, config.temperature, work_dir, reporter)
        train, val = train.of_layer(chosen), val.of_layer(chosen)
    ks = [config.k, *config.more_k]
    x, queries = train.x, val.x
    if config.get("standardize"):
        x, queries = standardized(x, queries)
    votes = knn_votes(x, train.y, queries, ks, config.temperature)
    unit = "" if val.targets is None else val.targets.unit
    found = Scored(next(votes), val.y, are_votes=True, kind=val.kind, unit=unit)
    metrics, outcomes = measured("knn", found, config, val.groups)
    for k, others in zip(config.more_k, votes, strict=True):
        name = f"knn/{MAIN[val.kind]}_k{k}"
        by_k = found._replace(scores=others)
        outcomes[name] = outcome_of(by_k, MAIN[val.kind], val.groups)
        metrics[name] = metric_of(outcomes[name])
    kept = save_outcomes(work_dir, outcomes)
    return StageResult(metrics, artifacts={**layers, **kept}, labels=len(train.y))


def check(config: Config, encoder: str) -> None:
    """Raise UserError as for all frozen features, or for more neighbours than train images."""
    check_kinds(config, KINDS)
    train, _ = check_features(config, encoder)
    check_k(max([config.k, *config.more_k]), train)
    check_metrics(config, kind_of(train.targets))
    check_decides(config)


def best_layer(
    train: Features,
    config: Config,
    k: int,
    temperature: float,
    work_dir: Path,
    reporter: Reporter,
) -> tuple[int, dict[str, str]]:
    """The layer by which a held-out part of the train images is answered for best.

    Args:
        train: features of all layers.
        config: `held_out`, the share of each class that is classified by the others; `seed` of its
            choice; `standardize`, on the others; `decides`, see :func:`deciding`.
        k, temperature: of :func:`knn_predict`; where there are not k others, all of them.
        work_dir: gets `layers.json`.
        reporter: is told.

    Returns:
        The first of the best layers, and the artifact `layers`: what each of them reaches.
    """
    chooses = split_off(train.strata, train.classes, config, train.groups)
    y, k = train.y[~chooses], min(k, int((~chooses).sum()))
    rows: list[dict[str, Any]] = []
    name = decider(config, train.kind)
    key = f"held_out_{name}"
    for number in range(len(train.columns)):
        x = train.of_layer(number).x
        bank, asked = x[~chooses], x[chooses]
        if config.get("standardize"):
            bank, asked = standardized(bank, asked)
        votes = next(knn_votes(bank, y, asked, [k], temperature))
        found = Scored(votes, train.y[chooses], are_votes=True, kind=train.kind)
        rows.append({"layer": number, key: deciding(found, config)})
    best = max(rows, key=lambda row: float(row[key]))  # the first of equals
    reporter.note(
        f"layer {best['layer']} of 0 to {len(rows) - 1} was chosen, by which kNN has "
        f"{in_words(best[key], name)} on the held-out {config.held_out:.0%} of train"
    )
    table = work_dir / "layers.json"
    write_json(table, {"won": best, "layers": rows}, indent=2)
    return best["layer"], {"layers": str(table)}


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
    bank_block: int = 1 << 16,
) -> torch.Tensor:
    """(len(ks), M) int64 labels: those of :func:`knn_votes` with most votes."""
    votes = knn_votes(x, y, queries, ks, temperature, block, bank_block)
    return torch.stack([of_k.argmax(dim=1) for of_k in votes])


def knn_votes(
    x: torch.Tensor,
    y: torch.Tensor,
    queries: torch.Tensor,
    ks: Sequence[int],
    temperature: float,
    block: int = 1024,
    bank_block: int = 1 << 16,
) -> Iterator[torch.Tensor]:
    """Weighted vote of the k nearest by cosine (Wu et al. 2018, 3.4), exact for any number.

    Where images have several labels, or a number, it is the weighted mean of theirs.

    Args:
        x: (N, D) features; they are scaled to length 1 here.
        y: (N,) int64 labels, or (N, C) float.
        queries: (M, D), as `x`.
        ks: numbers of neighbours, each at most N.
        temperature: a neighbour's weight is exp(cosine / temperature).
        block: queries compared at once.
        bank_block: rows of `x` compared at once; the device holds no more of them.

    Yields:
        For each k (M, C) float, the votes for each class, or the means.

    Raises:
        UserError: if a k is larger than N.
    """
    check_k(max(ks), x)
    device = get_device()
    asked = F.normalize(queries).to(device)
    best = [nothing(len(part), device) for part in asked.split(block)]
    for start in range(0, len(x), bank_block):
        rows = F.normalize(x[start : start + bank_block]).to(device)
        for place, part in enumerate(asked.split(block)):
            best[place] = nearest(best[place], part @ rows.T, start, max(ks))
    cosine, index = (torch.cat(parts) for parts in zip(*best, strict=True))
    weight = ((cosine - 1) / temperature).exp()  # the largest is 1, whatever the temperature
    near = y.to(device)[index]
    for k in ks:
        if y.is_floating_point():
            yield mean_of(near[:, :k], weight[:, :k]).cpu()
        else:
            yield vote(near[:, :k], weight[:, :k], int(y.max()) + 1).cpu()


def nothing(count: int, device: str) -> Nearest:
    """No neighbours of `count` queries."""
    empty = torch.empty(count, 0, device=device)
    return empty, empty.long()


def nearest(best: Nearest, cosine: torch.Tensor, start: int, k: int) -> Nearest:
    """The k nearest among those known and the rows from `start` on, with cosines (B, rows)."""
    found, place = cosine.topk(min(k, cosine.shape[1]))
    found, index = torch.cat([best[0], found], 1), torch.cat([best[1], place + start], 1)
    found, order = found.topk(min(k, found.shape[1]))
    return found, index.gather(1, order)


def vote(labels: torch.Tensor, weights: torch.Tensor, classes: int) -> torch.Tensor:
    """(B, classes) the sum of the weights of each class; both (B, k)."""
    votes = torch.zeros(len(labels), classes, device=labels.device)
    return votes.scatter_add_(1, labels, weights)


def mean_of(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(B, C) weighted means of values (B, k, C), with weights (B, k)."""
    return (values * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)
