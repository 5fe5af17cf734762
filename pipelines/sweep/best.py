"""The values that won a sweep, and how sure their number is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from downstream.statistics import LEVEL, normal_quantile, t_quantile
from pipelines.report.collect import Row, numbers
from pipelines.report.names import is_known, lower_is_better
from pipelines.sweep.collect import CELLS, OTHER, SELECTION, Entry
from pipelines.tracking.stored_run import StoredRun
from pipelines.tracking.tracker import Tracker

SEED = "seed"  # a parameter that repeats trials
SETTINGS = "settings"  # tag of a winner's run: the values that won
LATEST = "winner"  # tag of a sweep's run: the id of its winner's


@dataclass(frozen=True)
class Best:
    """The values with the best goal: the mean of their trials, which differ in the seed alone."""

    values: dict[str, Any]
    value: float
    trials: tuple[Entry, ...]


@dataclass(frozen=True)
class Reported:
    """What is said of the winner.

    Attributes:
        value: of the goal.
        ci95: half width of its interval; None without one.
        held_out: whether no trial was tested on these images.
        settings: how many values the winner is the best of.
        seeds: of its trainings, which differ in nothing else; empty for a single one.
        mlflow_run_id: the run that has it.
    """

    value: float
    ci95: float | None
    held_out: bool
    settings: int
    seeds: tuple[dict[str, Any], ...]
    mlflow_run_id: str


def best_of(trials: Sequence[Entry], goal: str) -> Best | None:
    """The best of the complete trials, None if there is none."""
    groups: dict[str, list[Entry]] = {}
    for one in complete(trials, goal):
        groups.setdefault(settings(one.values), []).append(one)
    found = [
        Best(without_seed(g[0].values), float(np.mean([t.metrics[goal] for t in g])), tuple(g))
        for g in groups.values()
    ]
    choose = min if lower_is_better(goal) else max
    return choose(found, key=lambda best: best.value, default=None)


def complete(trials: Sequence[Entry], goal: str) -> list[Entry]:
    """The trials that came to their end and have a value of the goal."""
    ended = [one for one in trials if one.state == "complete" and goal in one.metrics]
    return [one for one in ended if is_known(one.metrics[goal])]


def without_seed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are worth a choice."""
    return {name: value for name, value in values.items() if name != SEED}


def settings(values: Mapping[str, Any]) -> str:
    """What a trial has in common with those that differ in the seed alone, as text."""
    return json.dumps(without_seed(values), sort_keys=True)


def fresh_seeds(best: Best, trials: Sequence[Entry], repeats: int) -> list[int]:
    """As many seeds as the winner's trials have, which no trial had; none if seeds do not vary.

    The winner's own trainings were chosen too, for their luck.

    Args:
        best: the winner.
        trials: all of the sweep.
        repeats: seeds that a stage goes through from a trial's on.
    """
    if SEED not in best.trials[0].values:
        return []
    last = max(one.values[SEED] for one in trials)
    return [last + repeats * (1 + number) for number in range(len(best.trials))]


def reported(
    best: Best, trials: Sequence[Entry], sweep_run: StoredRun, tracker: Tracker
) -> Reported | None:
    """What is said of the winner; None until it was run on images that no trial was tested on."""
    tags = sweep_run.tags
    goal, count = tags["goal"], len({settings(one.values) for one in trials})
    if tags.get(SELECTION) != OTHER:
        return on_same_images(best, count, goal, tracker)
    found = tracker.look_up(tags.get(LATEST, ""))
    if found is None or found.status != "FINISHED":
        return None
    row = row_of([found.id], goal, tracker)
    if row is None or found.tags[SETTINGS] != settings(best.values):
        return None
    return Reported(row.value, row.ci95, True, count, row.seeds, found.id)


def on_same_images(best: Best, count: int, goal: str, tracker: Tracker) -> Reported:
    """The winner on the images that chose it, with an interval for the best of all settings.

    Trials that were pruned or failed count among the settings: they might have won.
    """
    run_ids = [one.mlflow_run_id for one in best.trials]
    row = row_of(run_ids, goal, tracker)
    if row is None:  # as a loss has none
        return Reported(best.value, None, False, count, (), run_ids[0])
    arm = row.ci95 and row.ci95 * stretch(count, max(len(row.seeds), 1))
    return Reported(row.value, arm, False, count, row.seeds, run_ids[0])


def row_of(run_ids: Sequence[str], goal: str, tracker: Tracker) -> Row | None:
    """The goal over the stages below these runs, joined over seeds; None if no stage has it."""
    tags = [tracker.get(run_id).tags for run_id in run_ids]
    ids = [run_id for one in tags for run_id in json.loads(one.get(CELLS, "{}")).values()]
    rows = numbers([tracker.get(run_id) for run_id in ids], tracker)
    return next((row for row, _ in rows if f"{row.task}/{row.metric}" == goal), None)


def stretch(count: int, trainings: int) -> float:
    """How much wider an interval is that holds for the best of `count`, whichever that is.

    Intervals of level 1 - 0.05 / count hold for all at once with at least 95 %, however they depend
    on each other, so also for the one that looks best (Bonferroni; Dunn 1961, Multiple comparisons
    among means, JASA 56). The quantile is the normal one, or for several trainings Student's.

    Args:
        count: at least 1.
        trainings: that the 95 % interval is over.
    """
    alpha = 1 - LEVEL
    if trainings > 1:
        return t_quantile(alpha / count, trainings - 1) / t_quantile(alpha, trainings - 1)
    return normal_quantile(alpha / count) / normal_quantile(alpha)
