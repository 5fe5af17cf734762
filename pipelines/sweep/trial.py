"""One trial of a sweep: its recipe's stages in turn, watched where it may end early."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from statistics import fmean
from threading import Lock

from optuna.study import Study
from optuna.trial import Trial, TrialState

from mae_core.errors import UserError
from mae_core.stage import Metric
from pipelines.cells.run_cell import Outcome, Setting, run_cell, with_encoder_from
from pipelines.display import Prefixed
from pipelines.errors import StageInterrupted
from pipelines.events import Event
from pipelines.recipes.matrix import planned_cells
from pipelines.recipes.recipe import Recipe
from pipelines.report.collect import numbers
from pipelines.report.names import LOSS
from pipelines.sweep.collect import CELLS, PRUNED
from pipelines.sweep.record import WATCHED, start_trial, told_run
from pipelines.sweep.space import Sweep
from pipelines.sweep.study import Past
from pipelines.tracking.patience import AWAY, patiently
from pipelines.tracking.tracker import Tracker

LOADING = Lock()  # recipes are read one at a time


class Pruned(StageInterrupted):
    """A trial was stopped, as others were better after as much training."""


@dataclass(frozen=True)
class Job:
    """What a trial needs.

    Attributes:
        study: of the sweep.
        trial: Optuna's.
        sweep: what it belongs to.
        past: the trials of earlier calls.
        setting: where; its parent is the sweep's MLflow run.
    """

    study: Study
    trial: Trial
    sweep: Sweep
    past: tuple[Past, ...]
    setting: Setting

    @property
    def label(self) -> str:
        """Such as 'mask_ratio=0.75'."""
        return self.sweep.label(self.trial.params)


def run_trial(job: Job) -> float | None:
    """The goal that the trial reached; None if it was pruned. The study and MLflow are told.

    Raises:
        UserError, StageFailed, StageInterrupted: as :func:`pipelines.cells.run_cell.run_cell`;
            UserError also if the values make no recipe, or no stage has the goal's metric.
    """
    tracker, values = job.setting.tracker, job.trial.params
    earlier = next((one.run_id for one in job.past if one.values == values), "")
    run_id = start_trial(values, job.sweep, str(job.setting.parent), tracker, earlier)
    try:
        with told_run(run_id, tracker):
            reached = evaluate(job, run_id)
    except BaseException:
        job.study.tell(job.trial, state=TrialState.FAIL)
        raise
    if reached is None:
        job.study.tell(job.trial, state=TrialState.PRUNED)
    else:
        job.study.tell(job.trial, reached)
    return reached


def evaluate(job: Job, run_id: str) -> float | None:
    """Run all cells, note their metrics with the trial's run; the goal, or None if pruned."""
    with LOADING:
        recipe = job.sweep.recipe_of(job.trial.params)
    tracker, goal = job.setting.tracker, job.sweep.goal
    display = Prefixed(job.setting.display, job.label)
    setting = replace(job.setting, parent=run_id, display=display)
    watch = Watch(job.trial, job.sweep, tracker, run_id) if job.sweep.pruning else None
    try:
        done = run_cells(recipe, setting, watch)
    except Pruned as pruned:
        tracker.tag(run_id, **{PRUNED: str(pruned)})
        return None
    return note(done, goal, run_id, tracker)


def run_cells(recipe: Recipe, setting: Setting, watch: "Watch | None" = None) -> dict[str, Outcome]:
    """Run a recipe's cells in turn, the first one watched; the outcomes by the cell's name.

    Raises:
        Pruned, UserError, StageFailed, StageInterrupted: as
            :func:`pipelines.cells.run_cell.run_cell`.
    """
    done: dict[str, Outcome] = {}
    for cell, takes in planned_cells(recipe, setting.resources):
        cell = with_encoder_from(cell, done[takes]) if takes else cell
        done[cell.name] = run_cell(cell, replace(setting, watch=None if done else watch))
    return done


def note(done: Mapping[str, Outcome], goal: str, run_id: str, tracker: Tracker) -> float:
    """Note the cells and their metrics with the run above them; the goal.

    Raises:
        UserError: if no stage has measured that.
    """
    values = patiently(lambda: metrics(list(done.values()), tracker), tracker.place)
    cells = json.dumps({name: one.run_id for name, one in done.items()})
    patiently(lambda: tracker.metrics(run_id, values), tracker.place)
    patiently(lambda: tracker.tag(run_id, **{CELLS: cells}), tracker.place)
    if goal not in values:
        raise UserError(f"no stage measured the goal '{goal}': expected one of {', '.join(values)}")
    return values[goal].value


def metrics(outcomes: list[Outcome], tracker: Tracker) -> dict[str, Metric]:
    """The results of stages with their intervals, means over seeds."""
    runs = [tracker.get(outcome.run_id) for outcome in outcomes]
    values = {}
    for row, _ in numbers(runs, tracker):
        values[f"{row.task}/{row.metric}"] = Metric(row.value, row.ci95, row.unit)
    losses = [one.result.metrics[LOSS].value for one in outcomes if LOSS in one.result.metrics]
    if losses:
        values[LOSS] = Metric(fmean(losses))
    return values


@dataclass
class Watch:
    """Reports a training's metric to Optuna, a mean for each percent, and stops it if told so."""

    trial: Trial
    sweep: Sweep
    tracker: Tracker
    run_id: str
    total: int = 0  # steps of the training
    percent: int = 0  # up to which is reported
    values: list[float] = field(default_factory=list)  # since then

    def __call__(self, event: Event) -> None:
        """Heed a stage's event. Raises Pruned."""
        if event["event"] == "progress" and event["unit"] == "step":
            self.total = event["total"]
        if event["event"] == "log" and self.sweep.watched in event["values"]:
            self.values.append(event["values"][self.sweep.watched])
            if self.total:
                self.report(100 * event["step"] // self.total)

    def report(self, percent: int) -> None:
        """Report the mean since the last time, unless the percent is the same."""
        if percent <= self.percent:
            return
        value = sum(self.values) / len(self.values)
        self.percent, self.values = percent, []
        with suppress(*AWAY):
            self.tracker.points(self.run_id, {WATCHED: value}, percent)
        self.trial.report(self.sweep.sign * value, percent)
        if percent < 100 and self.trial.should_prune():
            raise Pruned(f"after {percent} % of its training, {self.sweep.watched} {value:.4g}")
