"""Read a sweep's trials back from MLflow."""

import json
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipelines.tracking.tracker import Tracker

SWEEP, TRIAL, WINNER = "sweep", "trial", "winner"  # the runs' tag `stage`
VALUES, PRUNED, CELLS = "values", "pruned", "cells"  # tags of a trial's run
SELECTION = "selection"  # tag of a sweep's run: on which images its trials are compared
OTHER, SAME = "other", "same"  # its values: than those that are reported, or those
STATES = {"FINISHED": "complete", "FAILED": "failed", "KILLED": "stopped"}


@dataclass(frozen=True)
class Entry:
    """A trial as the report shows it.

    Attributes:
        values: of its parameters, by short name.
        state: 'complete', 'pruned', 'failed', 'running' or 'stopped'.
        metrics: 0 to 1, but for losses.
        intervals: half widths of the 95 % intervals, of those metrics that have one.
        note: why it was pruned or failed.
        mlflow_run_id: of its run.
    """

    values: dict[str, Any]
    state: str
    metrics: dict[str, float]
    intervals: dict[str, float]
    note: str
    mlflow_run_id: str


def is_sweep(run_id: str, tracker: Tracker) -> bool:
    """Whether an MLflow run is that of a sweep."""
    return bool(tracker.search(f"attributes.run_id = '{run_id}' AND tags.stage = '{SWEEP}'"))


def trial_runs(sweep_run: str, tracker: Tracker) -> list[Run]:
    """The MLflow runs of a sweep's trials, the first first."""
    below = f"tags.{MLFLOW_PARENT_RUN_ID} = '{sweep_run}' AND tags.stage = '{TRIAL}'"
    return tracker.search(below)[::-1]


def entries(run: Run, tracker: Tracker) -> list[Entry]:
    """The trials of the sweep whose MLflow run is `run`, by their values."""
    names = json.loads(run.data.tags["names"])
    found = [entry(one, names) for one in trial_runs(run.info.run_id, tracker)]
    return sorted(found, key=lambda one: [(str(type(v)), v) for v in one.values.values()])


def entry(run: Run, names: dict[str, str]) -> Entry:
    """A trial's run as the report shows it."""
    tags, metrics = run.data.tags, run.data.metrics
    state = "pruned" if PRUNED in tags else STATES.get(run.info.status, "running")
    values = json.loads(tags[VALUES])
    return Entry(
        values={name: values[key] for key, name in names.items()},
        state=state,
        metrics={k: v for k, v in metrics.items() if "/" in k and not k.endswith("_ci95")},
        intervals={
            name.removesuffix("_ci95"): value
            for name, value in metrics.items()
            if name.endswith("_ci95")
        },
        note=tags.get(PRUNED, "") if state == "pruned" else tags.get("error", ""),
        mlflow_run_id=run.info.run_id,
    )
