"""A sweep in MLflow: its own run, under that a run for each trial, under those the stages'."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prefect.runtime import flow_run

from mae_core.files import write_json
from pipelines.cells.folder import read_record
from pipelines.cells.run_cell import ERROR_LIMIT
from pipelines.sweep.collect import (
    OTHER,
    PRUNED,
    SAME,
    SELECTION,
    SWEEP,
    TRIAL,
    VALUES,
    trial_runs,
)
from pipelines.sweep.space import Sweep, Values, short_names
from pipelines.sweep.study import Past
from pipelines.tracking.patience import AWAY, patiently
from pipelines.tracking.stored_run import StoredRun
from pipelines.tracking.tracker import Tracker

RECORD = "sweep.json"  # in the work dir
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
        SELECTION: OTHER if sweep.selecting else SAME,
        "names": json.dumps(short_names(list(sweep.space))),
        "prefect_flow_run": flow_run.ui_url or flow_run.name or "",
    }
    run_id = tracker.start(sweep.name, tags, resumed=earlier)
    write_json(record, {"sweep": sweep.key, "run_id": run_id})
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
    shown = {names[key]: value for key, value in values.items()}
    patiently(lambda: tracker.params(run_id, shown), tracker.place)
    return run_id


@contextmanager
def told_run(run_id: str, tracker: Tracker) -> Iterator[None]:
    """As the block ends, close the run; after an error with what that says."""
    try:
        with tracker.closing(run_id):
            yield
    except BaseException as error:
        with suppress(*AWAY):
            tracker.tag(run_id, error=str(error)[-ERROR_LIMIT:])
        raise


def past_trials(sweep_run: str, tracker: Tracker) -> list[Past]:
    """The trials under a sweep's run, the first first."""
    goal = tracker.get(sweep_run).tags["goal"]
    return [past(run, goal, tracker) for run in trial_runs(sweep_run, tracker)]


def past(run: StoredRun, goal: str, tracker: Tracker) -> Past:
    """A trial as MLflow has it."""
    finished, pruned = run.status == "FINISHED", PRUNED in run.tags
    reached = run.metrics.get(goal) if finished and not pruned else None
    return Past(
        values=json.loads(run.tags[VALUES]),
        run_id=run.id,
        finished=finished,
        goal=reached.value if reached else None,
        reported=dict(tracker.history(run.id, WATCHED)),
    )
