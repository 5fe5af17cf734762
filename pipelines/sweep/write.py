"""Write a sweep's report: sweep.html, sweep.md, sweep.json and its figures."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import create_trial

from mae_core.files import write_bytes, write_json
from pipelines.report.names import LOSS, is_headline, is_known, number, order, other_unit, title
from pipelines.report.render import write_pages
from pipelines.sweep.best import SEED, Best, Reported, best_of, complete, reported
from pipelines.sweep.collect import OTHER, SELECTION, Entry, entries
from pipelines.sweep.figures import curves, importance_bars, is_number
from pipelines.sweep.space import text
from pipelines.tracking.tracker import Tracker

ENOUGH = 6  # trials for importances
PANELS = 4  # metrics drawn


def write_sweep(run_id: str, tracker: Tracker, folder: Path) -> str:
    """Write the report of sweep `run_id` into `folder`; returns it as Markdown."""
    run = tracker.get(run_id)
    trials, tags = entries(run, tracker), run.tags
    goal, names = tags["goal"], list(json.loads(tags["names"]).values())
    folder.mkdir(parents=True, exist_ok=True)
    metrics = shown_metrics(trials, goal)
    weights = importances(trials, names, goal)
    varied = [name for name in names if name != SEED] or names
    figures = {"curves.png": curves(trials, varied, metrics)} if metrics else {}
    if weights:
        figures["importance.png"] = importance_bars(weights, title(goal))
    for file, png in figures.items():
        write_bytes(folder / file, png)
    best = best_of(trials, goal)
    found = reported(best, trials, run, tracker) if best else None
    winners = best.trials if best else ()
    values = {
        "sweep": run.recipe,
        "benchmark": tags["benchmark"],
        "run_id": run_id,
        "command": run.command,
        "goal": title(goal),
        "names": names,
        "varied": varied,
        "metrics": [title(name) + other_unit(name) for name in metrics],
        "lines": [line(one, metrics, one in winners) for one in trials],
        "best": best and best_text(best, found, goal),
        "other": tags.get(SELECTION) == OTHER,
        "weights": weights,
        "figures": {file: b64encode(png).decode() for file, png in figures.items()},
    }
    write_pages("sweep", values, folder)
    content = {
        "sweep": run.recipe,
        "mlflow_run_id": run_id,
        "goal": goal,
        "best": best and asdict(best),
        "reported": found and asdict(found),
        "importance": weights,
        "trials": [trial_as_json(one) for one in trials],
    }
    write_json(folder / "sweep.json", content, indent=2)
    return (folder / "sweep.md").read_text(encoding="utf-8")


def trial_as_json(one: Entry) -> dict[str, Any]:
    """A trial as in sweep.json; None for a metric without a value, as JSON has no nan."""
    metrics = {name: value if is_known(value) else None for name, value in one.metrics.items()}
    return {**asdict(one), "metrics": metrics}


def shown_metrics(trials: Sequence[Entry], goal: str) -> list[str]:
    """The metrics worth a column: the goal, then other headline metrics."""
    found = {name for one in trials for name in one.metrics if is_result(name)}
    rest = sorted((n for n in found if n != goal and is_headline(n)), key=order)
    return [name for name in [goal, *rest][:PANELS] if name in found]


def is_result(name: str) -> bool:
    """Whether a trial's metric is a stage's result."""
    return not name.startswith("pruning/")


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
    return number(name, one.metrics[name], one.intervals.get(name), one.units.get(name, ""))


def unit_of(best: Best, goal: str) -> str:
    """Of the goal, if it has one of the data."""
    return best.trials[0].units.get(goal, "")


def best_text(best: Best, found: Reported | None, goal: str) -> dict[str, str]:
    """What the page says of the winner: its values, its number, and what that is of."""
    value, ci95 = (found.value, found.ci95) if found else (best.value, None)
    return {
        "values_said": ", ".join(f"{name}={text(value)}" for name, value in best.values.items()),
        "number": number(goal, value, ci95, unit_of(best, goal)),
        "about": about(best, found, goal),
    }


def about(best: Best, found: Reported | None, goal: str) -> str:
    """The rest of the sentence: on which images, by which trainings, and chosen how."""
    if goal == LOSS:
        return ", the loss of the training itself"
    chosen = number(goal, best.value, None, unit_of(best, goal))
    if found is None:
        return (
            " on the images that chose it, which is too high; it is tested on others once every "
            "trial has come to its end"
        )
    if not found.held_out:
        seeds = f", mean of {len(found.seeds)} trainings" if found.seeds else ""
        return (
            f"{seeds}, on the very images that chose it, so the number is too high on average; "
            f"the interval is for the best of {found.settings}, whichever it is (Bonferroni)"
        )
    seeds = f"mean of {len(found.seeds)} trainings with other seeds, " if found.seeds else ""
    return (
        f", {seeds}on images that no trial was tested on; chosen among {found.settings} by "
        f"{chosen} on others"
    )
