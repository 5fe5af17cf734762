"""The Prefect flow: data check, pretraining, the tasks for every encoder, report."""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from prefect import allow_failure, flow, task
from prefect.artifacts import (
    create_table_artifact,
)
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, State
from prefect.task_runners import ThreadPoolTaskRunner

from downstream.classification.features import features_cached
from mae_core.errors import UserError, check_name
from mae_core.files import write_json
from pipelines.cells.accept import check_flags
from pipelines.cells.cell import Cell, cell_folder, cell_name, usable
from pipelines.cells.command_line import command_line
from pipelines.cells.folder import BENCHMARK, BENCHMARK_LOCK, exclusive_lock, read_record, set_aside
from pipelines.cells.launch import stopping_on_error
from pipelines.cells.resources import visible_gpus
from pipelines.cells.run_cell import Outcome, Setting, run_cell, with_encoder_from
from pipelines.cells.warm import forking
from pipelines.display import Display
from pipelines.environment import data_below
from pipelines.errors import BenchmarkFailed, StageFailed, StageInterrupted
from pipelines.identity import data_digests, look_again, read_code
from pipelines.last_net import check_writable
from pipelines.recipes.matrix import planned_cells
from pipelines.recipes.recipe import Recipe, checked_recipe, choices
from pipelines.report.write import write_report
from pipelines.service.cluster import cancel, needs, ray_runner, server_for_nodes
from pipelines.service.place import REPORT, Future, Place, cause_of, failure_message, written_report
from pipelines.service.prefect_names import FLOW_NAME, INCOMPLETE
from pipelines.service.progress import StageProgress
from pipelines.service.schedule import Planned, by_urgency, earlier_seconds
from pipelines.service.server import end_with_worker
from pipelines.service.slots import Slots
from pipelines.stages import card_of
from pipelines.stopping import heed_interrupts, ignoring_signals
from pipelines.tracking.encoders import Lookup
from pipelines.tracking.patience import patiently
from pipelines.tracking.tracker import Tracker, check_parameter

RETRY_AFTER = 10  # seconds
CAUSES_LIMIT = 4000  # characters in all; MLflow cuts a tag after 8000, and JSON escapes some


@flow(name=FLOW_NAME, flow_run_name="{recipe}")
def mae_full_benchmark(
    recipe: str = "demo",
    work_dir: str | None = None,
    overrides: list[str] | None = None,
    devices: int | None = None,
    encoders: list[str] | None = None,
    tasks: list[str] | None = None,
    seed: int | None = None,
    data_root: str | None = None,
    tracking_uri: str | None = None,
    fresh: bool = False,
    strict: bool = False,
    ray: str | None = None,
    accept_code: bool = False,
) -> str | State[str]:
    """Run a benchmark and return the report's folder.

    Args:
        recipe: a name under `configs/benchmarks`, or a path.
        work_dir: where everything is kept; `runs/<recipe>` without it.
        overrides: `key=value` for the recipe, `<stage>.<key>=value` for a stage.
        devices: that a training shares; without it a slot's share of the GPUs, or one CPU process.
        encoders: rows; the recipe's without it.
        tasks: columns, among the recipe's; all of them without it.
        seed: of every stage; the recipe's without it.
        data_root: the folder that relative paths of data are below; without it that of the
            variable `MAE_BENCH_DATA`, or the current one.
        tracking_uri: of MLflow, without a password; that of `MLFLOW_TRACKING_URI`, or SQLite in
            `runs/`, if it is not given.
        fresh: compute everything again; what is in the work dir is set aside.
        strict: end as failed if a cell failed; without it as completed, named 'Incomplete'.
        ray: `host:port` of a Ray cluster that the cells are spread over.
        accept_code: go on with trainings in the work dir that differ in nothing but their code.
    """
    end_with_worker()
    check_parameter(tracking_uri)
    check_flags(fresh, accept_code)
    with data_below(data_root):
        chosen = choices(recipe, encoders, tasks, seed)
        chosen += overrides or []
        lookup = Lookup(tracking_uri)
        plan, digests = check_task(recipe, chosen, lookup)
        command = command_line("run", recipe, overrides=chosen, devices=devices)
        folder = Path(work_dir or f"runs/{plan.name}").expanduser().absolute()
        check_name(str(folder))
        check_writable(folder)
        with exclusive_lock(folder, name=BENCHMARK_LOCK, say=Display().say):
            if fresh:
                set_aside(folder, Display().say)
            place = Place(folder, lookup.tracker, devices, ray, not fresh, command, accept_code)
            try:
                return run_benchmark(plan, digests, place)
            except BenchmarkFailed as error:
                if strict:
                    raise
                return Completed(name=INCOMPLETE, message=str(error), data=str(folder / REPORT))


@task(name="data-check", task_run_name="data check", persist_result=False)
def check_task(recipe: str, overrides: list[str], lookup: Lookup) -> tuple[Recipe, dict[str, str]]:
    """The recipe, checked with all its data, and the data's digests.

    Data and code are as they are now for the whole flow run: a stage whose process finds others is
    refused.
    """
    look_again()
    plan = checked_recipe(recipe, overrides, lookup)
    digests: dict[str, str] = {}
    for config in plan.configs.values():
        digests |= data_digests(config)
    read_code(plan.configs.values())
    rows = [{"data": name, "digest": value[:16]} for name, value in digests.items()]
    create_table_artifact(rows, key="mae-bench-data", description="what the stages read")
    return plan, digests


def run_benchmark(plan: Recipe, digests: Mapping[str, str], place: Place) -> str:
    """Run all cells and write the report; its folder.

    Raises:
        BenchmarkFailed: after all, if a cell failed.
    """
    tracker = place.tracker
    with exclusive_lock(place.folder, shared=True, say=Display().say), Display() as display:
        return run_under(start_parent(plan, place.folder, tracker), plan, digests, place, display)


def run_under(
    parent: str, plan: Recipe, digests: Mapping[str, str], place: Place, display: Display
) -> str:
    """As :func:`run_benchmark`, with the benchmark's MLflow run."""
    tracker = place.tracker
    with tracker.closing(parent):
        note_parent(parent, plan, place)
        resources = place.resources(plan.slots)
        setting = Setting(
            place.folder,
            tracker,
            display,
            plan.name,
            parent,
            resources,
            place.elsewhere,
            place.command,
            accept_code=place.accept_code,
        )
        for absence in plan.absences:
            display.say(absence)
        cells = run_matrix(plan, digests, setting, place.ray)
        failed = note_outcomes(cells, setting)
        waits = [allow_failure(future) for future, _ in cells.values()]
        report = report_task(setting, wait_for=waits)
        if failed:
            raise BenchmarkFailed(failure_message(failed, report))
    return str(report)


def start_parent(plan: Recipe, folder: Path, tracker: Tracker) -> str:
    """The benchmark's MLflow run: the earlier one if the recipe has not changed since."""
    known = read_record(folder / BENCHMARK)
    earlier = known.get("run_id", "") if known.get("recipe") == plan.key else ""
    encoders = json.dumps(plan.encoders)
    tags = {
        "recipe": plan.name,
        "stage": "benchmark",
        "encoders": encoders,
        "prefect_flow_run": flow_run.ui_url or flow_run.name or "",
    }
    return tracker.start(plan.name, tags, resumed=earlier)


def note_parent(run_id: str, plan: Recipe, place: Place) -> None:
    """Note the benchmark's MLflow run in the work dir, and with it what is to be run."""
    write_json(place.folder / BENCHMARK, {"recipe": plan.key, "run_id": run_id})
    names = {"encoders": ",".join(plan.encoders), "tasks": ",".join(plan.tasks)}
    patiently(lambda: place.tracker.params(run_id, names), place.tracker.place)
    left_out = {cell_name(*cell): reason for cell, reason in plan.left_out.items()}
    tags = {"command": place.command, "left_out": json.dumps(left_out)}
    patiently(lambda: place.tracker.tag(run_id, **tags), place.tracker.place)


def run_matrix(
    plan: Recipe, digests: Mapping[str, str], setting: Setting, ray: str | None
) -> dict[str, tuple[Future, str]]:
    """Run all cells; by name the future, which is done, and the cell that made its encoder."""
    cells: dict[str, tuple[Future, str]] = {}
    planned = list(planned_cells(plan, setting.resources))
    slots = None if ray else slots_for(plan, planned, setting)
    with (
        ray_runner(ray) if ray else ThreadPoolTaskRunner() as runner,
        server_for_nodes() if ray else nullcontext(),
        stopping_on_error(),
        forking(),
    ):
        try:
            for cell, takes in planned:
                named = run_stage.with_options(
                    name=cell.name,
                    task_run_name=cell.name,
                    retries=plan.retries,
                    retry_delay_seconds=RETRY_AFTER,
                    retry_condition_fn=process_failed,
                )
                upstream = cells[takes][0] if takes else None
                parameters = {"cell": cell, "setting": setting, "slots": slots}
                parameters |= {"digests": digests, "upstream": upstream}
                parameters["followers"] = [other.name for other, of in planned if of == cell.name]
                gpu = not card_of(cell.stage).cached_features
                with needs(usable(cell, setting.resources), gpu) if ray else nullcontext():
                    cells[cell.name] = runner.submit(named, parameters), takes or ""
            for future, _ in cells.values():
                future.wait()
        except BaseException:
            if ray:
                with ignoring_signals():
                    cancel(future for future, _ in cells.values())
            raise
    return cells


def slots_for(plan: Recipe, planned: Planned, setting: Setting) -> Slots:
    """Slots of this machine, where the cell with the longest way to go comes first."""
    seconds = earlier_seconds(plan.name, setting.tracker)
    urgency = by_urgency(planned, seconds)
    slots = Slots(plan.slots, visible_gpus(), setting.resources.devices, urgency)
    slots.expect(cell.name for cell, takes in planned if not takes)
    return slots


def note_outcomes(cells: Mapping[str, tuple[Future, str]], setting: Setting) -> dict[str, str]:
    """Note the cells' MLflow runs; the causes of those that failed, by name.

    If none failed they are noted in the work dir too, for `mae-bench clean`.
    """
    assert setting.parent is not None
    done, failed = {}, {}
    for name, (future, upstream) in cells.items():
        if future.state.is_completed():
            done[name] = future.result().run_id
        else:
            failed[name] = cause_of(future.state, upstream)
    limit = CAUSES_LIMIT // max(len(failed), 1)
    causes = {name: cause[-limit:] for name, cause in failed.items()}  # the cause is at the end
    tags = {"cells": json.dumps(done), "failed": json.dumps(causes)}
    parent, tracker = setting.parent, setting.tracker
    patiently(lambda: tracker.tag(parent, **tags), tracker.place)
    record = setting.work_dir / BENCHMARK
    known = read_record(record)
    if not failed and known.get("run_id") == setting.parent:
        write_json(record, {**known, "cells": done})
    return failed


def process_failed(task: Any, run: Any, state: State[Any]) -> bool:
    """Whether a stage's process failed, which may go better another time."""
    return isinstance(state.result(raise_on_failure=False), StageFailed)


@task(persist_result=False)
def run_stage(
    cell: Cell,
    setting: Setting,
    slots: Slots | None,
    digests: Mapping[str, str],
    upstream: Outcome | None,
    followers: Sequence[str],
) -> State[Outcome]:
    """One cell, reused or computed as soon as there is a slot, if slots are ours to give.

    Args:
        cell: what to do.
        setting: where.
        slots: of this flow run; None where Ray schedules.
        digests: of the data that the flow run has checked.
        upstream: whose checkpoint is the cell's encoder, if it is not there yet.
        followers: names of the cells that wait for this one's checkpoint.
    """
    setting = replace(setting, display=StageProgress(setting.display, cell.name))
    if slots is None:
        heed_interrupts()
    try:
        check_same_data(cell.config, digests)
        if upstream is not None:
            cell = with_encoder_from(cell, upstream)
        slot = partial(slot_for, cell, setting.work_dir, slots, followers)
        outcome = run_cell(cell, setting, slot)
    except StageInterrupted as error:
        return Cancelled(message=str(error))
    finally:
        if slots:
            slots.arrived(cell.name)
    name = "Cached" if outcome.status == "reused" else "Completed"
    return Completed(name=name, message=f"MLflow run {outcome.run_id}", data=outcome)


@contextmanager
def slot_for(
    cell: Cell, work_dir: Path, slots: Slots | None, followers: Sequence[str] = ()
) -> Iterator[tuple[str, ...] | None]:
    """A slot and its GPUs; on a machine with GPUs, a cell that needs none does not wait for one.

    When the cell is done, its slot is kept for a moment for those that follow it.
    """
    if slots is None:
        yield None
    elif visible_gpus() and needs_no_gpu(cell, work_dir):
        yield ()
    else:
        with slots.acquire(cell.name) as gpus:
            yield gpus
            slots.expect(followers)


def needs_no_gpu(cell: Cell, work_dir: Path) -> bool:
    """Whether the cell computes on frozen features alone, and they are in the cache."""
    if not card_of(cell.stage).cached_features:
        return False
    return features_cached(cell.config, cell.source, cell_folder(cell, work_dir))


def check_same_data(config: Config, digests: Mapping[str, str]) -> None:
    """Raise UserError if data on this machine is other than what the flow run has checked."""
    for name, found in data_digests(config).items():
        if found != digests[name]:
            raise UserError(
                f"{name} on {socket.gethostname()} differs from the data that this run has "
                "checked: give every machine the same files under the same path"
            )


@task(name="report", task_run_name="report", persist_result=False)
def report_task(setting: Setting) -> Path:
    """As :func:`pipelines.service.place.written_report`."""
    return written_report(setting, write_report, "report.html")
