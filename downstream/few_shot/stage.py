"""The stage: accuracy over episodes, for each setting and head."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from downstream.classification.features import check_features, train_and_val_features
from downstream.few_shot.episodes import accuracies, check_classes
from downstream.few_shot.heads import HEADS
from downstream.outcomes import save_outcomes
from downstream.statistics import mean
from mae_core.errors import UserError, suggest
from mae_core.stage import Reporter, StageResult

HEADLINE = "centroid"


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Mean accuracy over episodes; metrics `few-shot/{n}way{k}shot` of the nearest centroid.

    Those of the other heads have their name behind, such as `few-shot/5way1shot_logistic`. Episodes
    are drawn from val images; train images only give the features' mean and deviation. Every
    encoder gets the same episodes.
    """
    train, val = train_and_val_features(config, encoder, work_dir, reporter)
    x = (val.x - train.x.mean(0)) / train.x.std(0).clamp(min=1e-6)
    outcomes: dict[str, torch.Tensor] = {}
    for done, (ways, shots) in enumerate(config.settings, start=1):
        found = accuracies(
            x, val.y, ways, shots, config.queries, config.episodes, config.heads, config.seed
        )
        for head, accuracy in found.items():
            suffix = "" if head == HEADLINE else f"_{head}"
            outcomes[f"few-shot/{ways}way{shots}shot{suffix}"] = accuracy
        reporter.progress(done, len(config.settings), "setting")
    metrics = {name: mean(accuracy) for name, accuracy in outcomes.items()}
    return StageResult(metrics, artifacts=save_outcomes(work_dir, outcomes))


def check(config: Config, encoder: str) -> None:
    """Raise UserError as for all frozen features, or for what no episode can be drawn from."""
    for head in config.heads:
        if head not in HEADS:
            raise UserError(f"no few-shot head is called '{head}'{suggest(head, HEADS)}")
    if config.episodes < 2:
        raise UserError(f"episodes={config.episodes}: an interval needs at least 2")
    _, val = check_features(config, encoder)
    counts = np.bincount(val.labels, minlength=len(val.classes)).tolist()
    for ways, shots in config.settings:
        check_classes(dict(zip(val.classes, counts, strict=True)), ways, shots, config.queries)
