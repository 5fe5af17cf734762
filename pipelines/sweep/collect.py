"""Read a sweep's trials back from MLflow."""

import json
from dataclasses import dataclass
from typing import Any

from pipelines.tracking.stored_run import StoredRun
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
        metrics: as of the stages.
        intervals: half widths of the 95 % intervals, of those metrics that have one.
        units: of those metrics that have one of the data.
        note: why it was pruned or failed.
        mlflow_run_id: of its run.
    """

    values: dict[str, Any]
    state: str
    metrics: dict[str, float]
    intervals: dict[str, float]
    units: dict[str, str]
    note: str
    mlflow_run_id: str


def is_sweep(run_id: str, tracker: Tracker) -> bool:
    """Whether an MLflow run is that of a sweep."""
    run = tracker.look_up(run_id)
    return run is not None and run.stage == SWEEP


def trial_runs(sweep_run: str, tracker: Tracker) -> list[StoredRun]:
    """The MLflow runs of a sweep's trials, the first first."""
    return tracker.find(parent=sweep_run, stage=TRIAL)[::-1]


def entries(run: StoredRun, tracker: Tracker) -> list[Entry]:
    """The trials of the sweep whose MLflow run is `run`, by their values."""
    names = json.loads(run.tags["names"])
    found = [entry(one, names) for one in trial_runs(run.id, tracker)]
    return sorted(found, key=lambda one: [(str(type(v)), v) for v in one.values.values()])


def entry(run: StoredRun, names: dict[str, str]) -> Entry:
    """A trial's run as the report shows it."""
    state = "pruned" if PRUNED in run.tags else STATES.get(run.status, "running")
    values = json.loads(run.tags[VALUES])
    found = {name: metric for name, metric in run.metrics.items() if "/" in name}
    return Entry(
        values={name: values[key] for key, name in names.items()},
        state=state,
        metrics={name: metric.value for name, metric in found.items()},
        intervals={name: m.ci95 for name, m in found.items() if m.ci95 is not None},
        units={name: metric.unit for name, metric in found.items() if metric.unit},
        note=run.tags.get(PRUNED, "") if state == "pruned" else run.tags.get("error", ""),
        mlflow_run_id=run.id,
    )
