"""The stage: accuracy over episodes, for each setting and head."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from downstream.classification import layers
from downstream.classification.features import (
    Features,
    check_features,
    features_of,
    splits_used,
)
from downstream.classification.knn import TEMPERATURE, K, best_layer
from downstream.classification.layers import has_best
from downstream.classification.scaling import standardized
from downstream.few_shot.episodes import check_classes, classified, draw_apart
from downstream.few_shot.heads import HEADS
from downstream.outcomes import Episodes, save_outcomes
from downstream.statistics import over_episodes
from mae_core.data.images import ImageDataset
from mae_core.errors import UserError, suggest
from mae_core.kinds import FLAG, TEXT, check_kinds, list_of, maybe, whole
from mae_core.stage import Reporter, StageResult

KINDS = {
    "episodes": whole(2),  # or there is no interval
    "queries": whole(1),
    "heads": list_of(TEXT, 1),
    "settings": list_of(list_of(whole(1), 2), 1),
    "standardize": maybe(FLAG),
}
HEADLINE = "centroid"
KNOWN = (
    "episodes are drawn from all classes of val_data, which a pretraining on such images has seen "
    "without their labels: novel_classes names those that it has not"
)


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Mean accuracy over episodes; metrics `few-shot/{n}way{k}shot` of the nearest centroid.

    Those of the other heads have their name behind, such as `few-shot/5way1shot_logistic`. Episodes
    are drawn with the config's seed from the val images (where they come in groups, shots and
    queries from different ones), of `config.novel_classes` where it names
    classes; every encoder gets the same. Features are scaled to length 1 (Wang et al. 2019, arXiv
    1911.04623, "L2N"; Chen et al. 2019, arXiv 1904.04232, by the cosine); with `config.standardize`
    train images give their mean and deviation first. With `layer='best'` kNN on train images of
    other classes than `novel_classes` chooses the layer, see :func:`best_layer`.
    """
    *train, val = features_of(splits_used(config), config, encoder, work_dir, reporter)
    reached: dict[str, str] = {}
    if has_best(config):
        known = of_known_classes(train[0], config.get("novel_classes"))
        number, reached = best_layer(known, config, K, TEMPERATURE, work_dir, reporter)
        train, val = [part.of_layer(number) for part in train], val.of_layer(number)
    if not config.get("standardize"):
        train = []
    x = standardized(train[0].x, val.x)[1] if train else val.x
    novel = config.get("novel_classes")
    if novel is None:
        reporter.note(KNOWN)
    chosen = np.isin(val.y.numpy(), [val.classes.index(name) for name in novel or val.classes])
    outcomes: dict[str, Episodes] = {}
    for done, (ways, shots) in enumerate(config.settings, start=1):
        found = classified(
            x[chosen],
            val.y[chosen],
            ways,
            shots,
            config.queries,
            config.episodes,
            config.heads,
            config.seed,
            novel is not None,
            None if val.groups is None else val.groups.of[chosen],
        )
        for head, episodes in found.items():
            suffix = "" if head == HEADLINE else f"_{head}"
            outcomes[f"few-shot/{ways}way{shots}shot{suffix}"] = episodes
        reporter.progress(done, len(config.settings), "setting")
    metrics = {name: over_episodes(episodes) for name, episodes in outcomes.items()}
    return StageResult(metrics, artifacts={**reached, **save_outcomes(work_dir, outcomes)})


def check(config: Config, encoder: str) -> None:
    """Raise UserError as for all frozen features, or for what no episode can be drawn from."""
    check_kinds(config, KINDS)
    for head in config.heads:
        if head not in HEADS:
            raise UserError(f"no few-shot head is called '{head}'{suggest(head, HEADS)}")
    train, val = check_features(config, encoder)
    counts = np.bincount(val.labels, minlength=len(val.classes)).tolist()
    images = dict(zip(val.classes, counts, strict=True))
    novel = config.get("novel_classes")
    if novel is not None:
        images = {name: images[name] for name in held_out(novel, val)}
        if has_best(config) and len(images) > len(val.classes) - 2:
            raise UserError(
                f"novel_classes leaves {len(val.classes) - len(images)} of {len(val.classes)} "
                "classes, layer='best' needs two or more to choose by: give the number of a layer, "
                "or fewer classes"
            )
        if has_best(config):
            others = [number for number, name in enumerate(train.classes) if name not in images]
            known = train.only(np.flatnonzero(np.isin(train.labels, others)))
            layers.held_out(known.labels, known.classes, known.source.groups, config)
    for ways, shots in config.settings:
        check_classes(images, ways, shots, config.queries)
    if val.source.groups is not None:
        chosen = np.isin(val.labels, [val.classes.index(name) for name in images])
        labels, groups = val.labels[chosen], val.source.groups.of[chosen]
        for ways, shots in config.settings:
            rng = np.random.default_rng(config.seed)
            draw_apart(labels, groups, ways, shots, config.queries, config.episodes, rng)


def of_known_classes(train: Features, novel: Sequence[str] | None) -> Features:
    """The features of the train images whose class is not in `novel`."""
    wanted = [number for number, name in enumerate(train.classes) if name not in (novel or ())]
    chosen = torch.isin(train.y, torch.tensor(wanted))
    return train.only(chosen)


def held_out(novel: object, val: ImageDataset) -> list[str]:
    """The names in `novel_classes`. Raises UserError unless they are classes of the val images."""
    if not isinstance(novel, list | tuple) or len(set(novel)) < 2:
        raise UserError(f"novel_classes={novel!r}: expected two or more names of classes, or None")
    for name in novel:
        if name not in val.classes:
            raise UserError(
                f"novel_classes: val_data has no class '{name}'{suggest(str(name), val.classes)}"
            )
    return list(novel)
