"""The Prefect flow of a sweep: trials side by side, as many as there are slots; winner; report."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Semaphore
from typing import Any

from prefect import allow_failure, flow, task
from prefect.states import Cancelled, Completed, State
from prefect.task_runners import ThreadPoolTaskRunner

from pipelines.cells.command_line import command_line
from pipelines.cells.folder import exclusive_lock
from pipelines.cells.launch import stopping_on_error
from pipelines.cells.resources import visible_gpus
from pipelines.cells.run_cell import Setting
from pipelines.cells.warm import forking
from pipelines.display import Display
from pipelines.environment import data_below
from pipelines.errors import BenchmarkFailed, StageInterrupted
from pipelines.identity import look_again, read_code
from pipelines.last_net import check_writable
from pipelines.service.place import Future, Place, cause_of, failure_message, written_report
from pipelines.service.prefect_names import SWEEP_FLOW
from pipelines.service.progress import StageProgress
from pipelines.service.server import end_with_worker
from pipelines.service.slots import Slots
from pipelines.sweep.collect import WINNER
from pipelines.sweep.record import past_trials, start_sweep
from pipelines.sweep.space import Sweep, load_sweep
from pipelines.sweep.study import Past, new_study
from pipelines.sweep.trial import Job, run_trial
from pipelines.sweep.winner import run_winner
from pipelines.sweep.write import write_sweep
from pipelines.tracking.encoders import Lookup
from pipelines.tracking.patience import patiently
from pipelines.tracking.tracker import check_parameter


@flow(name=SWEEP_FLOW, flow_run_name="{sweep}")
def mae_sweep(
    sweep: str = "mask-ratio_demo",
    work_dir: str | None = None,
    overrides: list[str] | None = None,
    devices: int | None = None,
    data_root: str | None = None,
    tracking_uri: str | None = None,
) -> str:
    """Run a sweep and return the report's folder. The same call again does what is left.

    Args:
        sweep: a name under `configs/sweeps`, or a path.
        work_dir: where everything is kept; `runs/<sweep>` without it.
        overrides: `key=value` for the sweep or its recipe, `<stage>.<key>=value` for a stage.
        devices: that a training shares; without it a slot's share of the GPUs, or one CPU process.
        data_root: the folder that relative paths of data are below; without it that of the
            variable `MAE_BENCH_DATA`, or the current one.
        tracking_uri: of MLflow, without a password; that of `MLFLOW_TRACKING_URI`, or SQLite in
            `runs/`, if it is not given.
    """
    end_with_worker()
    check_parameter(tracking_uri)
    with data_below(data_root):
        given = overrides or []
        lookup = Lookup(tracking_uri)
        plan = check_task(sweep, given, lookup)
        command = command_line("sweep", sweep, overrides=given, devices=devices)
        folder = Path(work_dir or f"runs/{plan.name}").expanduser().absolute()
        check_writable(folder)
        with exclusive_lock(folder, say=Display().say):
            place = Place(folder, lookup.tracker, devices, None, True, command)
            return run_sweep(plan, place)


@task(name="check", task_run_name="check", persist_result=False)
def check_task(sweep: str, overrides: list[str], lookup: Lookup) -> Sweep:
    """The sweep, checked with its recipe and data, which with the code are as they are now."""
    look_again()
    plan = load_sweep(sweep, overrides, lookup)
    read_code(plan.base.configs.values())
    return plan


def run_sweep(sweep: Sweep, place: Place) -> str:
    """Run the trials that are left, then the winner on other images; write the report; its folder.

    A winner is reported once no trial is left, as another may win yet.

    Raises:
        BenchmarkFailed: after all, if a trial failed.
    """
    tracker, run_id = place.tracker, start_sweep(sweep, place.folder, place.tracker)
    patiently(lambda: tracker.tag(run_id, command=place.command), tracker.place)
    with Display() as display, tracker.closing(run_id):
        resources = place.resources(sweep.base.slots)
        setting = Setting(
            place.folder,
            tracker,
            display,
            sweep.name,
            run_id,
            resources,
            command=place.command,
            hints=False,  # trials that were pruned are meant to stay as they are
        )
        past = patiently(lambda: past_trials(run_id, tracker), tracker.place)
        slots = Slots(sweep.base.slots, visible_gpus(), resources.devices)
        futures = run_trials(sweep, past, setting, slots)
        before = [allow_failure(one) for one in futures.values()]
        states = {label: future.state for label, future in futures.items()}
        if sweep.selecting and all(state.is_completed() for state in states.values()):
            with stopping_on_error():
                states[WINNER] = winner_task(
                    sweep, setting, slots, wait_for=before, return_state=True
                )
        report = report_task(setting, wait_for=before)
        failed = {
            label: cause_of(state, "")
            for label, state in states.items()
            if not state.is_completed()
        }
        if failed:
            raise BenchmarkFailed(failure_message(failed, report))
    return str(report)


def run_trials(
    sweep: Sweep, past: Sequence[Past], setting: Setting, slots: Slots
) -> dict[str, Future]:
    """Run what is left, a trial in each slot; the futures, all done, by the trial's label.

    What a trial tries may depend on all that ended before: it is asked for when a slot is free.
    """
    study, left = new_study(sweep, past)
    free = Semaphore(sweep.base.slots)
    futures: dict[str, Future] = {}
    with ThreadPoolTaskRunner[Any]() as runner, stopping_on_error(), forking():
        for _ in range(left):
            free.acquire()
            job = Job(study, study.ask(sweep.space), sweep, tuple(past), setting)
            named = trial_task.with_options(name=job.label, task_run_name=job.label)
            submitted = runner.submit(named, {"job": job, "slots": slots})
            submitted.add_done_callback(lambda _: free.release())
            futures[job.label] = submitted
        for future in futures.values():
            future.wait()
    return futures


@task(persist_result=False)
def trial_task(job: Job, slots: Slots) -> State[Any]:
    """One trial, as soon as there is a slot."""
    try:
        with in_slot(job.label, job.setting, slots) as setting:
            value = run_trial(replace(job, setting=setting))
    except StageInterrupted as error:
        return Cancelled(message=str(error))
    if value is None:
        return Completed(name="Pruned", message="others were better after as much training")
    return Completed(message=f"{job.sweep.goal} {value:.4g}", data=value)


@task(name=WINNER, task_run_name=WINNER, persist_result=False)
def winner_task(sweep: Sweep, setting: Setting, slots: Slots) -> State[Any]:
    """The winner of all trials on the images that none of them was tested on."""
    try:
        with in_slot(WINNER, setting, slots) as own:
            value = run_winner(sweep, own)
    except StageInterrupted as error:
        return Cancelled(message=str(error))
    return Completed(message=f"{sweep.goal} {value:.4g}", data=value)


@contextmanager
def in_slot(label: str, setting: Setting, slots: Slots) -> Iterator[Setting]:
    """The setting within a slot, as soon as one is free."""
    display = StageProgress(setting.display, label)
    with slots.acquire(label) as gpus:
        yield replace(setting, display=display, resources=replace(setting.resources, gpus=gpus))


@task(name="report", task_run_name="report", persist_result=False)
def report_task(setting: Setting) -> Path:
    """As :func:`pipelines.service.place.written_report`."""
    return written_report(setting, write_sweep, "sweep.html")
