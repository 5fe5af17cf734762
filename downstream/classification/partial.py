"""Partial fine-tuning: the last 0, 1/2, 1, 2, 4, ... blocks (paper, 4.3, A.1 and Fig. 9).

With 0 blocks the norm after the pooling and the head are trained, as fine-tuning trains them. This
is not linear probing, which the paper shows in this place.
"""

from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config

from downstream.classification import finetune
from downstream.classification.answers import MAIN, answers_of, kind_of, suffix_of
from downstream.classification.metrics import metric_of, outcome_again
from downstream.curves import Point, draw_curves
from downstream.outcomes import Grouped, Resampled, save_outcomes
from downstream.parts import PartReporter, cached_outcome
from downstream.scratch import RANDOM, recipe_for, weights_of
from mae_core.errors import UserError
from mae_core.for_encoder import with_encoder
from mae_core.plots import drawn
from mae_core.stage import Metric, Reporter, StageResult


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """One fine-tuning for each number in `config.blocks`; metrics `partial-finetune/<n>blocks`.

    Of answers that are no classes their main metric is in the name, `<n>blocks_map` or `_r2`.

    The rest of the config is one for fine-tuning. What is finished stays after an interruption.
    """
    config, encoder = recipe_for(config, encoder), weights_of(encoder)
    config = with_encoder(config, encoder, reporter)
    images = finetune.open_images(config)
    outcomes: dict[str, torch.Tensor | Grouped | Resampled] = {}
    kind = kind_of(images[0].targets)
    metrics: dict[str, Metric] = {}
    points = []
    for number, blocks in enumerate(config.blocks):
        name = f"{blocks:g}blocks"
        part = PartReporter(reporter, name, number, len(config.blocks))
        fit = partial(finetune.fit_part, config, encoder, images, part, blocks=blocks)
        kept = cached_outcome(work_dir / name, fit)
        outcome, name = outcome_again(kept, images[1].source.groups), f"{name}{suffix_of(kind)}"
        outcomes[f"partial-finetune/{name}"] = outcome
        metrics[f"partial-finetune/{name}"] = metric_of(outcome)
        points.append(Point(blocks, metric_of(outcome)))
    curve = partial(
        draw_curves,
        curves={"fine-tuned": points},
        title="Partial fine-tuning",
        amount="blocks fine-tuned",
        value=MAIN[kind],
        log=False,  # 0 blocks have no place on a logarithmic axis
    )
    picture = drawn(work_dir / "curve.png", curve, reporter)
    kept_files = {**picture, **save_outcomes(work_dir, outcomes)}
    return StageResult(metrics, artifacts=kept_files, labels=len(images[0]))


def check(config: Config, encoder: str) -> None:
    """Raise UserError as for fine-tuning, or for a number of blocks that the encoder has not."""
    finetune.check(config, encoder)
    own = with_encoder(recipe_for(config, encoder), weights_of(encoder))
    answers = answers_of(finetune.open_images(own)[0].targets)
    model = finetune.build_classifier(own, RANDOM, 2, answers)
    if not config.blocks:
        raise UserError("blocks=[]: name at least one number of blocks")
    for blocks in config.blocks:
        model.freeze(blocks)
