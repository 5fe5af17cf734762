"""The stage: val images as queries, the train images or the other val images as gallery."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from downstream.classification.features import check_features, features_of, splits_used
from downstream.classification.knn import TEMPERATURE, K, best_layer
from downstream.classification.layers import has_best
from downstream.classification.scaling import standardized
from downstream.outcomes import in_groups, save_outcomes
from downstream.retrieval.ranking import ranked, relevant_counts
from downstream.statistics import mean, share
from mae_core.data.images import ImageDataset
from mae_core.data.sources.base import Groups
from mae_core.errors import UserError
from mae_core.notices import counted, say
from mae_core.stage import Metric, Reporter, StageResult

GALLERIES = ("train", "val")
WITHIN = (
    "with gallery='val' each image is a query and is searched for: intervals and comparisons are "
    "about other queries of this gallery, and too narrow for other images"
)


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Rank the gallery for each val image by cosine; relevant is what is of the query's class.

    Metrics are means over queries: `retrieval/map` of the average precision, `retrieval/map_at_r`
    of that among the first R (see :class:`downstream.retrieval.ranking.Ranked`), and for each k of
    `config.ks` `retrieval/recall_at_<k>`, the share of queries with one relevant image or more
    among the first k (Jégou et al. 2011; Musgrave et al. 2020). With `config.gallery='val'` an
    image is searched among the val images of other groups, or all others where groups are not
    known; those to which none is relevant are no queries. `standardize` is by the train images,
    and `layer='best'` is chosen by kNN on them, see :func:`best_layer`.
    """
    *train, val = features_of(splits_used(config), config, encoder, work_dir, reporter)
    layers: dict[str, str] = {}
    if has_best(config):
        number, layers = best_layer(train[0], config, K, TEMPERATURE, work_dir, reporter)
        train, val = [part.of_layer(number) for part in train], val.of_layer(number)
    if config.get("standardize"):
        x, asked = standardized(train[0].x, val.x)
        train, val = [replace(train[0], x=x)], replace(val, x=asked)
    within = own_groups(len(val.y), val.groups) if config.gallery == "val" else None
    gallery = train[0] if within is None else val
    found = ranked(gallery.x, gallery.y, val.x, val.y, within, reporter)
    asks = found.relevant > 0
    if within is not None:
        reporter.note(WITHIN)
    if not asks.all():
        reporter.note(no_queries(val.y[~asks], val.classes, len(val.y)))
    groups = val.groups and val.groups.only(np.flatnonzero(asks.numpy()))
    precisions = {"map": found.precision, "map_at_r": found.precision_at_r}
    metrics: dict[str, Metric] = {}
    outcomes: dict[str, Any] = {}
    for name, values in precisions.items():
        outcome = outcomes[f"retrieval/{name}"] = in_groups(values[asks], groups)
        metrics[f"retrieval/{name}"] = mean(outcome)
    for k in config.ks:
        right = outcomes[f"retrieval/recall_at_{k}"] = in_groups(found.first[asks] <= k, groups)
        metrics[f"retrieval/recall_at_{k}"] = share(right)
    return StageResult(metrics, artifacts={**layers, **save_outcomes(work_dir, outcomes)})


def check(config: Config, encoder: str) -> None:
    """Raise UserError as for all frozen features, or for what cannot be searched."""
    train, val = check_features(config, encoder)
    if config.gallery not in GALLERIES:
        raise UserError(f"gallery={config.gallery!r}: expected 'train' or 'val'")
    if len(val.classes) < 2:
        raise UserError(
            f"all images are of the class {val.classes[0]}: whatever is found is relevant, so that "
            "there is nothing to measure; expected two classes or more"
        )
    check_ks(config.ks, len(train) if config.gallery == "train" else searchable(val))


def searchable(val: ImageDataset) -> int:
    """The fewest val images that one of them is searched among; says how many look for nothing.

    Raises:
        UserError: if fewer than two look for something.
    """
    labels, groups = torch.from_numpy(val.labels), own_groups(len(val), val.source.groups)
    asks = relevant_counts(labels, groups) > 0
    if not asks.all():
        text = no_queries(labels[~asks], val.classes, len(val))
        if asks.sum() < 2:
            raise UserError(f"gallery='val': {text}; give more images, or gallery='train'")
        say(text)
    return len(val) - int(groups.unique(return_counts=True)[1].max())


def check_ks(ks: object, searched: int) -> None:
    """Raise UserError unless `ks` are distinct numbers from 1 to that of the searched images."""
    if not isinstance(ks, list | tuple) or len(set(map(str, ks))) < len(ks):
        raise UserError(f"ks={ks!r}: expected a list of different numbers, such as [1, 5, 10]")
    for k in ks:
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= searched:
            raise UserError(
                f"ks has {k!r}: expected whole numbers from 1 to {searched:,}, the fewest images "
                "that a query is searched among"
            )


def own_groups(count: int, groups: Groups | None) -> torch.Tensor:
    """(count,) int64: each image's group; where these are not known each is one of its own."""
    return torch.arange(count) if groups is None else torch.from_numpy(groups.of)


def no_queries(labels: torch.Tensor, classes: Sequence[str], count: int) -> str:
    """What is said of val images that look for nothing.

    Args:
        labels: (N,) int64, theirs.
        classes: names by label.
        count: of all val images.
    """
    kinds, numbers = labels.unique(return_counts=True)
    named = zip(kinds.tolist(), numbers.tolist(), strict=True)
    of = counted({f"of {classes[label]}": number for label, number in named})
    return (
        f"{len(labels):,} of {count:,} val images are no queries, as no other image of their class "
        f"(in another group, where groups are known) is among them: {of}"
    )
