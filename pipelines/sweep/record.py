"""A sweep in MLflow: its own run, under that a run for each trial, under those the stages'."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from prefect.runtime import flow_run

from pipelines.folder import read_record
from pipelines.sweep.space import Sweep, Values, short_names
from pipelines.sweep.study import Past
from pipelines.tracking import Tracker

RECORD = "sweep.json"  # in the work dir
SWEEP, TRIAL = "sweep", "trial"  # the runs' tag `stage`
VALUES, PRUNED = "values", "pruned"  # tags of a trial's run
WATCHED = "pruning/value"  # metric of a trial's run, by percent of the training


def start_sweep(sweep: Sweep, folder: Path, tracker: Tracker) -> str:
    """The sweep's MLflow run: the earlier one if its trials can be compared with the new ones."""
    record = folder / RECORD
    known = read_record(record)
    earlier = known.get("run_id", "") if known.get("sweep") == sweep.key else ""
    tags = {
        "stage": SWEEP,
        "recipe": sweep.name,
        "benchmark": sweep.base.name,
        "goal": sweep.goal,
        "names": json.dumps(short_names(list(sweep.space))),
        "prefect_flow_run": flow_run.ui_url or flow_run.name or "",
    }
    run_id = tracker.start(sweep.name, tags, resumed=earlier)
    record.write_text(json.dumps({"sweep": sweep.key, "run_id": run_id}))
    return run_id


def start_trial(values: Values, sweep: Sweep, parent: str, tracker: Tracker, earlier: str) -> str:
    """A trial's MLflow run: `earlier`, if it was begun before, else a new one."""
    tags = {
        "stage": TRIAL,
        "recipe": sweep.name,
        "encoders": json.dumps(sweep.base.encoders),
        VALUES: json.dumps(values),
    }
    run_id = tracker.start(sweep.label(values), tags, parent, resumed=earlier)
    names = short_names(list(values))
    tracker.params(run_id, {names[key]: value for key, value in values.items()})
    return run_id


def past_trials(sweep_run: str, tracker: Tracker) -> list[Past]:
    """The trials under a sweep's run, the first first."""
    goal = tracker.client.get_run(sweep_run).data.tags["goal"]
    return [past(run, goal, tracker) for run in trial_runs(sweep_run, tracker)]


def trial_runs(sweep_run: str, tracker: Tracker) -> list[Run]:
    """The MLflow runs of a sweep's trials, the first first."""
    below = f"tags.{MLFLOW_PARENT_RUN_ID} = '{sweep_run}' AND tags.stage = '{TRIAL}'"
    return tracker.search(below)[::-1]


def past(run: Run, goal: str, tracker: Tracker) -> Past:
    """A trial as MLflow has it."""
    finished = run.info.status == "FINISHED"
    pruned = PRUNED in run.data.tags
    points = tracker.client.get_metric_history(run.info.run_id, WATCHED)
    return Past(
        values=json.loads(run.data.tags[VALUES]),
        run_id=run.info.run_id,
        finished=finished,
        goal=run.data.metrics.get(goal) if finished and not pruned else None,
        reported={point.step: point.value for point in points},
    )


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


STATES = {"FINISHED": "complete", "FAILED": "failed", "KILLED": "stopped"}


def is_sweep(run_id: str, tracker: Tracker) -> bool:
    """Whether an MLflow run is that of a sweep."""
    return bool(tracker.search(f"attributes.run_id = '{run_id}' AND tags.stage = '{SWEEP}'"))


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
