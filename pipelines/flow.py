"""The Prefect flow: pretrain, then the tasks for every encoder, then the report."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from joblib import cpu_count
from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Completed, State

from mae_core.data.roots import DATA
from pipelines.cell import STAGES, Cell, Outcome, Setting, read_record, run_cell
from pipelines.display import Display
from pipelines.launch import (
    BenchmarkFailed,
    Resources,
    StageFailed,
    default_devices,
    stopping_on_error,
)
from pipelines.matrix import planned_cells
from pipelines.progress import StageProgress
from pipelines.recipe import Recipe, choices, load_recipe
from pipelines.report.write import write_report
from pipelines.slots import Slots
from pipelines.tracking import Tracker

FLOW_NAME = "mae-full-benchmark"
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
) -> str:
    """Run a benchmark and return the report's folder.

    Args:
        recipe: a name under `configs/benchmarks`, or a path.
        work_dir: where everything is kept; `runs/<recipe>` without it.
        overrides: `key=value` for the recipe, `<stage>.<key>=value` for a stage.
        devices: that a training shares; all GPUs, or one CPU process, without it.
        encoders: rows; the recipe's without it.
        tasks: columns, among the recipe's; all of them without it.
        seed: of every stage; the recipe's without it.
        data_root: the folder that relative paths of data are below; without it that of the
            variable `MAE_BENCH_DATA`, or the current one.
        tracking_uri: of MLflow; without it that of `MLFLOW_TRACKING_URI`, or SQLite in `runs/`.
        fresh: compute everything again; what is in the work dir is set aside.
    """
    with data_below(data_root):
        chosen = choices(recipe, encoders, tasks, seed)
        plan = load_recipe(recipe, [*chosen, *(overrides or [])])
        folder = Path(work_dir or f"runs/{plan.name}").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            set_aside(folder)
        return run_benchmark(plan, folder, Tracker(tracking_uri), devices or default_devices())


def run_benchmark(plan: Recipe, folder: Path, tracker: Tracker, devices: int) -> str:
    """Run all cells and write the report; its folder.

    Raises:
        BenchmarkFailed: after all, if a cell failed.
    """
    parent = start_parent(plan, folder, tracker)
    status = "FAILED"
    with Display() as display:
        resources = Resources(max(cpu_count() // plan.slots, 1), devices)
        setting = Setting(folder, tracker, display, plan.name, parent, resources)
        try:
            with stopping_on_error():
                failed = run_matrix(plan, setting)
                report = report_task(plan, setting)
            status = "FAILED" if failed else "FINISHED"
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            raise
        finally:
            tracker.end(parent, status)
    if failed:
        causes = (f"{name}: {cause.splitlines()[-1]}" for name, cause in failed.items())
        raise BenchmarkFailed("\n".join([f"the rest is in {report}", *causes]))
    return str(report)


@contextmanager
def data_below(folder: str | None) -> Iterator[None]:
    """Within the block relative paths of data are below `folder`, in the stages' processes too."""
    before = os.environ.get(DATA)
    if folder:
        os.environ[DATA] = str(Path(folder).absolute())
    try:
        yield
    finally:
        os.environ.pop(DATA, None)
        if before is not None:
            os.environ[DATA] = before


def set_aside(folder: Path) -> None:
    """Rename the stages' results in a work dir, so that none is reused."""
    stages = folder / STAGES
    if stages.exists():
        stages.rename(folder / f"{STAGES}-before-{time.strftime('%Y%m%d-%H%M%S')}")


def start_parent(plan: Recipe, folder: Path, tracker: Tracker) -> str:
    """The benchmark's MLflow run: the earlier one if the recipe has not changed since."""
    record = folder / "benchmark.json"
    known = read_record(record)
    earlier = known.get("run_id", "") if known.get("recipe") == plan.key else ""
    encoders = json.dumps(plan.encoders)
    tags = {
        "recipe": plan.name,
        "stage": "benchmark",
        "encoders": encoders,
        "prefect_flow_run": flow_run.ui_url or flow_run.name or "",
    }
    run_id = tracker.start(plan.name, tags, resumed=earlier)
    record.write_text(json.dumps({"recipe": plan.key, "run_id": run_id}))
    tracker.params(run_id, {"encoders": ",".join(plan.encoders), "tasks": ",".join(plan.tasks)})
    return run_id


def run_matrix(plan: Recipe, setting: Setting) -> dict[str, str]:
    """Run all cells and note their MLflow runs; the causes of those that failed, by name."""
    assert setting.parent is not None
    slots = Slots(plan.slots)
    futures: dict[str, PrefectFuture[Any]] = {}
    upstream: dict[str, str] = {}
    planned = list(planned_cells(plan))
    planned.sort(key=lambda item: item[0].encoder == "mae" and item[0].stage != "pretrain")
    for cell, takes in planned:
        if takes:
            upstream[cell.name] = takes
        upstream_of = futures[takes] if takes else None
        futures[cell.name] = submit(cell, setting, slots, upstream_of, plan.retries)
    done, failed = {}, {}
    for name, future in futures.items():
        future.wait()
        if future.state.is_completed():
            done[name] = future.result().run_id
        else:
            failed[name] = cause_of(future.state, upstream.get(name, ""))
    limit = CAUSES_LIMIT // max(len(failed), 1)
    causes = {name: cause[-limit:] for name, cause in failed.items()}  # the cause is at the end
    tags = {"cells": json.dumps(done), "failed": json.dumps(causes)}
    setting.tracker.tag(setting.parent, **tags)
    return failed


def cause_of(state: State[Any], upstream: str) -> str:
    """Why a cell, which takes its encoder from the cell `upstream`, has no result."""
    if state.name == "NotReady":
        return f"not run, as it needs the encoder of {upstream}"
    return (state.message or "no message").removeprefix("Task run encountered an exception ")


def submit(
    cell: Cell,
    setting: Setting,
    slots: Slots,
    upstream: PrefectFuture[Any] | None,
    retries: int,
) -> PrefectFuture[Any]:
    """Start a cell as a Prefect task named after it; it waits for `upstream`."""
    named = run_stage.with_options(
        name=cell.stage,
        task_run_name=cell.name,
        retries=retries,
        retry_delay_seconds=RETRY_AFTER,
        retry_condition_fn=process_failed,
    )
    return named.submit(cell, setting, slots, cast(Any, upstream))


def process_failed(task: Any, run: Any, state: State[Any]) -> bool:
    """Whether a stage's process failed, which may go better another time."""
    return isinstance(state.result(raise_on_failure=False), StageFailed)


@task(persist_result=False)
def run_stage(
    cell: Cell, setting: Setting, slots: Slots, upstream: Outcome | None
) -> State[Outcome]:
    """One cell, as soon as a slot is free; the checkpoint of `upstream` is its encoder."""
    if upstream is not None:
        assert upstream.result.checkpoint is not None
        cell = replace(cell, source=upstream.result.checkpoint, encoder_run=upstream.run_id)
    shown = replace(setting, display=StageProgress(setting.display, cell.name))
    with slots.taken():
        outcome = run_cell(cell, shown)
    name = "Cached" if outcome.status == "reused" else "Completed"
    return Completed(name=name, message=f"MLflow run {outcome.run_id}", data=outcome)


@task(name="report", persist_result=False)
def report_task(plan: Recipe, setting: Setting) -> Path:
    """Write the report from MLflow; also an MLflow and a Prefect artifact."""
    assert setting.parent is not None
    folder = setting.work_dir / "report"
    table = write_report(setting.parent, setting.tracker, folder)
    for file in sorted(folder.iterdir()):
        setting.tracker.artifact(setting.parent, file, "report")
    create_markdown_artifact(table, key="mae-bench-report")
    if link := setting.tracker.link(setting.parent):
        create_link_artifact(link, "the benchmark in MLflow", key="mae-bench-mlflow")
    setting.display.say(f"report: {folder / 'report.html'}")
    return folder
