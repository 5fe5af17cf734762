"""Write a sweep's report: sweep.html, sweep.md, sweep.json and its figures."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import create_trial

from mae_core.files import write_bytes, write_json
from pipelines.report.names import LOSS, is_headline, lower_is_better, number, order, title
from pipelines.report.render import write_pages
from pipelines.sweep.collect import Entry, entries
from pipelines.sweep.figures import curves, importance_bars, is_number
from pipelines.sweep.space import text
from pipelines.tracking import Tracker

SEED = "seed"  # a parameter that repeats trials
ENOUGH = 6  # trials for importances
PANELS = 4  # metrics drawn


def write_sweep(run_id: str, tracker: Tracker, folder: Path) -> str:
    """Write the report of sweep `run_id` into `folder`; returns it as Markdown."""
    run = tracker.client.get_run(run_id)
    trials, tags = entries(run, tracker), run.data.tags
    goal, names = tags["goal"], list(json.loads(tags["names"]).values())
    folder.mkdir(parents=True, exist_ok=True)
    metrics = shown_metrics(trials, goal)
    weights = importances(trials, names, goal)
    varied = [name for name in names if name != SEED] or names
    figures = {"curves.png": curves(trials, varied, metrics)} if metrics else {}
    if weights:
        figures["importance.png"] = importance_bars(weights, said(goal))
    for file, png in figures.items():
        write_bytes(folder / file, png)
    best = best_of(trials, goal)
    winners = best.trials if best else ()
    values = {
        "sweep": tags["recipe"],
        "benchmark": tags["benchmark"],
        "run_id": run_id,
        "command": tags.get("command", ""),
        "goal": said(goal),
        "names": names,
        "varied": varied,
        "metrics": [said(name) for name in metrics],
        "lines": [line(one, metrics, one in winners) for one in trials],
        "best": best and best_said(best, goal),
        "weights": weights,
        "figures": {file: b64encode(png).decode() for file, png in figures.items()},
    }
    write_pages("sweep", values, folder)
    content = {
        "sweep": tags["recipe"],
        "mlflow_run_id": run_id,
        "goal": goal,
        "best": best and asdict(best),
        "importance": weights,
        "trials": [asdict(one) for one in trials],
    }
    write_json(folder / "sweep.json", content, indent=2)
    return (folder / "sweep.md").read_text(encoding="utf-8")


def shown_metrics(trials: Sequence[Entry], goal: str) -> list[str]:
    """The metrics worth a column: the goal, then other headline metrics."""
    found = {name for one in trials for name in one.metrics if is_result(name)}
    rest = sorted((n for n in found if n != goal and n != LOSS and is_headline(n)), key=order)
    return [name for name in [goal, *rest][:PANELS] if name in found]


def is_result(name: str) -> bool:
    """Whether a trial's metric is a stage's result."""
    return not name.startswith("pruning/")


@dataclass(frozen=True)
class Best:
    """The values with the best goal: the mean of their trials, which differ in the seed alone."""

    values: dict[str, Any]
    value: float
    trials: tuple[Entry, ...]


def best_of(trials: Sequence[Entry], goal: str) -> Best | None:
    """The best of the complete trials, None if there is none."""
    groups: dict[str, list[Entry]] = {}
    for one in complete(trials, goal):
        groups.setdefault(str(without_seed(one.values)), []).append(one)
    found = [
        Best(without_seed(g[0].values), float(np.mean([t.metrics[goal] for t in g])), tuple(g))
        for g in groups.values()
    ]
    choose = min if lower_is_better(goal) else max
    return choose(found, key=lambda best: best.value, default=None)


def complete(trials: Sequence[Entry], goal: str) -> list[Entry]:
    """The trials that came to their end and have the goal."""
    return [one for one in trials if one.state == "complete" and goal in one.metrics]


def without_seed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are worth a choice."""
    return {name: value for name, value in values.items() if name != SEED}


def importances(trials: Sequence[Entry], names: Sequence[str], goal: str) -> dict[str, float]:
    """Each parameter's share of the goal's variance (fANOVA, Hutter et al. 2014), most first.

    Empty for a single parameter, or too few complete trials.
    """
    ended = complete(trials, goal)
    if len(names) < 2 or len(ended) < ENOUGH:
        return {}
    study = optuna.create_study()
    for one in ended:
        space = {name: spread(name, ended) for name in names}
        study.add_trial(
            create_trial(params=one.values, distributions=space, value=one.metrics[goal])
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def spread(name: str, trials: Sequence[Entry]) -> optuna.distributions.BaseDistribution:
    """What values of a parameter there were."""
    values = [one.values[name] for one in trials]
    if all(map(is_number, values)):
        return optuna.distributions.FloatDistribution(min(values), max(values))
    return optuna.distributions.CategoricalDistribution(tuple(dict.fromkeys(values)))


def line(one: Entry, metrics: Sequence[str], best: bool) -> dict[str, Any]:
    """A row of the table."""
    return {
        "values": [text(value) for value in one.values.values()],
        "cells": [shown(name, one) for name in metrics],
        "state": f"{one.state}: {one.note.splitlines()[-1]}" if one.note else one.state,
        "best": best,
        "run": one.mlflow_run_id,
    }


def shown(name: str, one: Entry) -> str:
    """A trial's number with its interval, a dash without one."""
    if name not in one.metrics:
        return "–"
    if name == LOSS:
        return f"{one.metrics[name]:.4f}"
    return number(name, one.metrics[name], one.intervals.get(name))


def best_said(best: Best, goal: str) -> str:
    """'mask_ratio=0.75: 45.7 ± 1.0', or 'mask_ratio=0.75: 45.7, mean of 3 seeds'."""
    values = ", ".join(f"{name}={text(value)}" for name, value in best.values.items())
    if len(best.trials) == 1:
        return f"{values}: {shown(goal, best.trials[0])}"
    value = f"{best.value:.4f}" if goal == LOSS else number(goal, best.value, None)
    return f"{values}: {value}, mean of {len(best.trials)} seeds"


def said(name: str) -> str:
    """What a reader calls the metric."""
    return "Pretraining loss" if name == LOSS else title(name)
