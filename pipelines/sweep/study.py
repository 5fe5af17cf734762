"""Optuna's part of a sweep: which values are tried next, and which trials end early.

MLflow is what remembers: a study is made anew from the trials that are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import optuna
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import TrialState

from pipelines.sweep.space import Pruning, Sweep, Values

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Past:
    """A trial that MLflow knows.

    Attributes:
        values: of its parameters, by key.
        run_id: of its MLflow run.
        finished: whether there is nothing left to do.
        goal: what it reached; None if it was pruned, or is not finished.
        reported: the metric that pruning looks at, by percent of the training.
    """

    values: Values
    run_id: str
    finished: bool
    goal: float | None = None
    reported: dict[int, float] = field(default_factory=dict)


def new_study(sweep: Sweep, past: Sequence[Past]) -> tuple[Study, int]:
    """A study that knows the past, and how many trials are left.

    The first of those are what a grid still lacks, or what was begun and not finished.
    """
    points = sweep.grid()
    finished = [one for one in past if one.finished and (not points or one.values in points)]
    seed = next(iter(sweep.base.configs.values())).seed
    study = optuna.create_study(
        direction="minimize" if sweep.lower_is_better else "maximize",
        sampler=TPESampler(seed=seed + len(finished)),
        pruner=pruner(sweep.pruning),
    )
    for one in finished:
        relive(study, one, sweep)
    done = [one.values for one in finished]
    wanted = points or [one.values for one in past]
    missing = [values for values in wanted if values not in done]
    for values in missing:
        study.enqueue_trial(values)
    return study, len(missing) if points else max(sweep.trials - len(done), 0)


def pruner(pruning: Pruning | None) -> BasePruner:
    """Optuna's successive halving, whose unit is a percent of the training."""
    if pruning is None:
        return NopPruner()
    return SuccessiveHalvingPruner(round(100 * pruning.first), round(1 / pruning.keep))


def relive(study: Study, one: Past, sweep: Sweep) -> None:
    """Tell the study of a finished trial as if it ran now."""
    study.enqueue_trial(one.values)
    trial = study.ask(sweep.space)
    for percent, value in sorted(one.reported.items()):
        trial.report(sweep.sign * value, percent)
        trial.should_prune()
    if one.goal is None:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, one.goal)
