"""Read a benchmark's results back from MLflow."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from downstream.clusters import groups_in
from downstream.outcomes import (
    FILE,
    Episodes,
    Grouped,
    Outcomes,
    Repeated,
    Resampled,
    load_outcomes,
)
from downstream.statistics import mean, over_repeated, over_resamples, over_trainings
from mae_core.errors import UserError
from pipelines.report.names import metrics_of, order
from pipelines.report.stage_runs import StageRun, stage_run
from pipelines.stages import card_with
from pipelines.tracking.stored_run import StoredRun
from pipelines.tracking.tracker import Tracker


@dataclass(frozen=True)
class Row:
    """One number: a metric of a task for an encoder, with its interval's half width.

    Of a stage that ran with several seeds it is their mean; `mlflow_run_id` is the first one's run,
    and `seeds` has all: dicts of `seed`, `value`, `mlflow_run_id` and `encoder_run`, the run that
    made its encoder, '' if none did. `labels` counts the labelled images that the task was trained
    with, None where that is not known or the metric's name says it. `groups` counts those that the
    test images come in, which the interval is over then; None where they are not known. `unit` is
    that of the data, if the metric has it. A value may be nan, see :func:`is_known`.
    """

    encoder: str
    task: str
    metric: str
    value: float
    ci95: float | None
    mlflow_run_id: str
    seeds: tuple[dict[str, Any], ...] = ()
    labels: int | None = None
    groups: int | None = None
    unit: str = ""


@dataclass(frozen=True)
class Benchmark:
    """All that a report shows.

    Attributes:
        rows: the numbers, by encoder and in the order of :func:`pipelines.report.names.order`.
        failed: causes by cell name.
        left_out: by cell name why the recipe does not have it, of cells that make no sense.
        losses: pretraining loss as (step, value) by encoder, of the first seed.
        pictures: PNG files by (artifact name, encoder).
        outcomes: of the cases behind a number, by encoder and metric, see `downstream.outcomes`.
        stages: the run of each cell.
        runs: the same as MLflow has it, by cell name.
        tags: of the benchmark's run.
    """

    recipe: str
    run_id: str
    encoders: tuple[str, ...]
    rows: tuple[Row, ...]
    failed: dict[str, str]
    losses: dict[str, tuple[tuple[int, float], ...]]
    pictures: dict[tuple[str, str], bytes]
    outcomes: dict[tuple[str, str], Outcomes] = field(default_factory=dict)
    stages: tuple[StageRun, ...] = ()
    runs: dict[str, StoredRun] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def value(self, encoder: str, name: str) -> Row | None:
        """The row of metric `name`, such as 'knn/top1'."""
        return next(
            (r for r in self.rows if r.encoder == encoder and f"{r.task}/{r.metric}" == name), None
        )


def collect(run_id: str, tracker: Tracker, watts: float | None = None) -> Benchmark:
    """Everything about the benchmark whose parent run is `run_id`.

    Args:
        run_id: of the benchmark.
        tracker: of MLflow.
        watts: that a stage draws, see :func:`pipelines.report.stage_runs.stage_run`.

    Raises:
        UserError: if there is no such run, or it is not a benchmark.
    """
    parent = tracker.look_up(run_id)
    if parent is None:
        raise UserError(f"no MLflow run '{run_id}' in {tracker.place}")
    tags = parent.tags
    if "cells" not in tags:
        raise UserError(f"MLflow run '{run_id}' is no finished benchmark: give its parent run's id")
    runs = {name: tracker.get(child) for name, child in json.loads(tags["cells"]).items()}
    pictures: dict[tuple[str, str], bytes] = {}
    losses: dict[str, tuple[tuple[int, float], ...]] = {}
    for run in runs.values():
        if run.stage == "pretrain" and run.encoder not in losses:  # the first of several
            losses[run.encoder] = tuple(tracker.history(run.id, "loss"))
        for path in artifacts(run, tracker, ".png"):
            kind = f"{run.stage}-{Path(path).stem}"
            if (kind, run.encoder) not in pictures:
                pictures[kind, run.encoder] = tracker.read(run, path)
    encoders = tuple(json.loads(tags["encoders"]))
    found = numbers(list(runs.values()), tracker, encoders)
    found.sort(key=lambda n: (encoders.index(n[0].encoder), order(f"{n[0].task}/{n[0].metric}")))
    return Benchmark(
        recipe=parent.recipe,
        run_id=run_id,
        encoders=encoders,
        rows=tuple(row for row, _ in found),
        outcomes={
            (row.encoder, f"{row.task}/{row.metric}"): outcomes
            for row, outcomes in found
            if outcomes is not None
        },
        failed=json.loads(tags.get("failed", "{}")),
        losses=losses,
        pictures=pictures,
        stages=tuple(stage_run(name, run, run_id, tracker, watts) for name, run in runs.items()),
        runs=runs,
        tags=dict(tags),
        left_out=json.loads(tags.get("left_out", "{}")),
    )


def numbers(
    runs: Sequence[StoredRun], tracker: Tracker, encoders: Sequence[str] = ()
) -> list[tuple[Row, Outcomes | None]]:
    """A row, with its cases' outcomes, for each encoder and metric; several seeds are joined."""
    groups: dict[tuple[str, str], list[StoredRun]] = {}
    for run in runs:
        names = metrics_of(run.stage, list(run.metrics))
        for name in names if run.stage != "pretrain" else ():
            groups.setdefault((run.encoder, name), []).append(run)
    stored = {run.id: outcomes_of(run, tracker) for run in runs}
    for encoder, name in list(groups) if "supervised" in encoders else ():
        card = card_with(name.partition("/")[0])
        if encoder == "random" and card and card.random_from_scratch:
            # Both are trained from scratch by the same recipe, of which there is one run.
            groups.setdefault(("supervised", name), groups[encoder, name])
    return [
        joined(encoder, name, group, [stored[run.id].get(name) for run in group])
        for (encoder, name), group in groups.items()
    ]


def joined(
    encoder: str, name: str, runs: Sequence[StoredRun], outcomes: Sequence[Outcomes | None]
) -> tuple[Row, Outcomes | None]:
    """One row of the runs of a stage, which differ in their seed."""
    task, _, metric = name.partition("/")
    first, values = runs[0], [run.metrics[name].value for run in runs]
    labels, unit = first.labels, first.metrics[name].unit
    if len(runs) == 1:
        ci95, groups = first.metrics[name].ci95, count_groups(outcomes[0])
        names = (encoder, task, metric)
        return Row(*names, values[0], ci95, first.id, (), labels, groups, unit), outcomes[0]
    seeds = tuple(
        {
            "seed": run.seed,
            "value": value,
            "mlflow_run_id": run.id,
            "encoder_run": run.encoder_run,
        }
        for run, value in zip(runs, values, strict=True)
    )
    cases = of_all(outcomes)
    match cases:
        case Resampled():
            interval = over_resamples(cases).ci95
        case Repeated():
            interval = over_repeated(cases).ci95
        case Grouped():
            interval = over_trainings(cases.values, cases.groups).ci95
        case np.ndarray():
            interval = over_trainings(cases).ci95
        case _:
            interval = mean(values).ci95
    of = (encoder, task, metric, float(np.mean(values)), interval, first.id, seeds)
    return Row(*of, labels, count_groups(cases), unit), cases


def count_groups(cases: Outcomes | None) -> int | None:
    """How many groups the cases come in; None without any."""
    if isinstance(cases, Resampled):
        return cases.groups
    return groups_in(cases.groups) if isinstance(cases, Grouped) else None


def of_all(outcomes: Sequence[Outcomes | None]) -> Outcomes | None:
    """The outcomes of a stage's runs as those of one run of all its trainings; None if some lack.

    (S, N) of runs with N cases each, or with (T, N) of T trainings each; resampled (S, 1 + B).
    """
    episodes = tuple(one for one in outcomes if isinstance(one, Episodes))
    if len(episodes) == len(outcomes):
        return Repeated(episodes)
    resampled = [one for one in outcomes if isinstance(one, Resampled)]
    if len(resampled) == len(outcomes):
        return Resampled(np.stack([one.values for one in resampled]), resampled[0].groups)
    grouped = [one for one in outcomes if isinstance(one, Grouped)]
    if len(grouped) == len(outcomes):
        if not all(one.same_groups(grouped[0]) for one in grouped):
            return None
        stacked = np.concatenate([np.atleast_2d(one.values) for one in grouped])
        return Grouped(stacked, grouped[0].groups)
    known = [np.atleast_2d(one) for one in outcomes if isinstance(one, np.ndarray)]
    return np.concatenate(known) if len(known) == len(outcomes) else None


def artifacts(run: StoredRun, tracker: Tracker, suffix: str) -> list[str]:
    """A run's artifacts that end so, outside of folders."""
    return [name for name in tracker.files(run.id) if name.endswith(suffix)]


def outcomes_of(run: StoredRun, tracker: Tracker) -> dict[str, Outcomes]:
    """Outcomes by metric, empty where none were kept."""
    if FILE not in artifacts(run, tracker, FILE):
        return {}
    return load_outcomes(BytesIO(tracker.read(run, FILE)))
