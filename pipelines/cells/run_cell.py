"""Run a cell: reuse its result, or compute it, from its last checkpoint where there is one."""

import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mae_core.engine.step_checkpoints import checkpoints
from mae_core.errors import UserError
from mae_core.files import checksum, write_json
from mae_core.stage import StageResult
from pipelines.cells.accept import accept
from pipelines.cells.cell import Cell, cell_folder, usable
from pipelines.cells.folder import (
    JOB,
    RECORD,
    RESULT,
    accepted_codes,
    exclusive_lock,
    finished_result,
    read_record,
    training_files,
)
from pipelines.cells.inputs import aside
from pipelines.cells.job import LOG, about, describe, prepare
from pipelines.cells.launch import launch
from pipelines.cells.resources import Resources
from pipelines.cells.reuse import fetched, restore, whole_result
from pipelines.cells.unfinished import others_like
from pipelines.display import Shown
from pipelines.errors import StageFailed, StageInterrupted
from pipelines.events import EVENTS, Event, read_events
from pipelines.identity import data_digests
from pipelines.stages import makers
from pipelines.tracking.delivery import Delivery
from pipelines.tracking.handover import clear, take_over, uploading
from pipelines.tracking.model_registry import PROBE, probed, register
from pipelines.tracking.patience import AWAY, Undelivered, patiently
from pipelines.tracking.system_metrics import monitored
from pipelines.tracking.tracker import Tracker

ERROR_LIMIT = 2000  # characters of a tag, from the end, where the cause is
Status = Literal["reused", "resumed", "run"]
Slot = Callable[[], AbstractContextManager[tuple[str, ...] | None]]


@dataclass(frozen=True)
class Setting:
    """Where cells run and report to.

    Attributes:
        work_dir: where everything is kept.
        tracker: of MLflow.
        display: of progress.
        recipe: its name.
        parent: id of the benchmark's MLflow run, if there is one.
        resources: what one stage may use.
        elsewhere: whether results of other work dirs may be reused.
        command: the shell line that does all this again, '' if there is none.
        watch: is told each event of a stage's process, and may raise to stop it.
        hints: whether to tell of unfinished trainings that this one could have gone on with.
        accept_code: whether to go on with those that differ in nothing but their code.
    """

    work_dir: Path
    tracker: Tracker
    display: Shown
    recipe: str
    parent: str | None = None
    resources: Resources = field(default_factory=Resources)
    elsewhere: bool = True
    command: str = ""
    watch: Callable[[Event], None] | None = None
    hints: bool = True
    accept_code: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a cell ended."""

    status: Status
    run_id: str
    result: StageResult


def with_encoder_from(cell: Cell, upstream: Outcome) -> Cell:
    """The cell with the checkpoint of another one as its encoder.

    Raises:
        UserError: if that is no longer what the other one made.
    """
    path = upstream.result.checkpoint
    assert path is not None
    known = upstream.result.checksums.get(path)
    if known and known != checksum(path):
        raise UserError(
            f"{path} changed since the MLflow run {upstream.run_id} made it: run the same command "
            "again, which takes the good copy from MLflow or computes it anew"
        )
    return replace(cell, source=path, encoder_run=upstream.run_id)


def run_cell(cell: Cell, setting: Setting, slot: Slot = nullcontext) -> Outcome:
    """Reuse the cell's finished result, or run it, from its last checkpoint where there is one.

    Waits for another process that works at the same cell in the same folder.

    Args:
        cell: what to do.
        setting: where.
        slot: is entered to compute; gives the GPUs for that, None for the setting's.

    Raises:
        UserError, StageFailed, StageInterrupted: as :func:`pipelines.cells.launch.launch`; the
            MLflow run is then closed as failed or killed, and a later call continues it.
    """
    with exclusive_lock(cell_folder(cell, setting.work_dir), say=setting.display.say) as folder:
        place = setting.tracker.place
        if outcome := patiently(lambda: finished(cell, setting, folder), place):
            return outcome
        if setting.accept_code:
            accept(cell, folder, lambda text: setting.display.say(f"{cell.name}: {text}"))
        with slot() as gpus:
            if gpus is not None:
                setting = replace(setting, resources=replace(setting.resources, gpus=gpus))
            return compute(cell, setting, folder)


def finished(cell: Cell, setting: Setting, folder: Path) -> Outcome | None:
    """The finished result of this folder or, if nothing was begun in it, of another work dir.

    Files of a finished run that are gone from the folder, or damaged, come back from MLflow; if
    they cannot, the cell is to be computed again.
    """
    tracker, record = setting.tracker, folder / RECORD
    run_id = read_record(record).get("run_id", "")

    def say(text: str) -> None:
        setting.display.say(f"{cell.name}: {text}")

    begun = record.exists() or not setting.elsewhere
    if not begun and (run_id := restore(cell.key, cell.encoder, tracker, folder, say)):
        write_json(record, {"run_id": run_id})
    if not (run_id and tracker.finished(run_id)):
        return None
    run = tracker.get(run_id)
    result = whole_result(folder, cell.inputs, say, run.tags)
    if not result and fetched(run, tracker, folder, say):
        result = whole_result(folder, cell.inputs, say, run.tags)
        if result:
            say(f"its files are those of the MLflow run {run_id} again")
    if not result:
        say("computed again")
        with suppress(FileNotFoundError):
            (folder / RESULT).replace(folder / f"{RESULT}.refused")
        return None
    tracker.adopt(run_id, cell.name, setting.parent)
    setting.display.finish(cell.name, f"reused{accepted_note(folder)}, {summary(result)}")
    return Outcome("reused", run_id, result)


def compute(cell: Cell, setting: Setting, folder: Path) -> Outcome:
    """Run the cell in its folder, in the same MLflow run as the last time.

    A result that is there already is entered, with what is known of how it came about.
    """
    tracker, say = setting.tracker, setting.display.say
    record, earlier = folder / RECORD, read_record(folder / RECORD).get("run_id", "")
    result = whole_result(folder, cell.inputs, say)
    if setting.elsewhere and not record.exists() and not checkpoints(folder):
        take_over(cell.key, cell.encoder, tracker, folder, say)
    status: Status = "resumed" if checkpoints(folder) else "run"
    anew = status == "run" and not result
    if anew and accepted_codes(folder):  # of which nothing is left
        aside(folder, "before")
        earlier = ""
    if anew and setting.hints:
        for hint in others_like(folder, about(cell), cell.stage):
            say(f"{cell.name}: {hint}")
    run_id = tracker.start(cell.name, tags_of(cell, setting), setting.parent, resumed=earlier)
    with closing(cell, setting, run_id):
        write_json(record, {"run_id": run_id})
        if result is None:
            prepare(cell, folder)
        patiently(lambda: describe(cell, tracker, run_id, folder), tracker.place)
        with Delivery(tracker, run_id) as points:
            for event in read_events(folder / EVENTS):
                points.add(event)
            if result is None:
                result = _train(cell, setting, folder, points, status)
        outcome = Outcome(status, run_id, result)
        patiently(lambda: hand_in(cell, setting, outcome, folder), tracker.place)
    for path in training_files(folder, result):
        path.unlink()
    return outcome


@contextmanager
def closing(cell: Cell, setting: Setting, run_id: str) -> Iterator[None]:
    """If the block fails, close the cell's MLflow run as failed or killed, with the cause."""
    try:
        yield
    except BaseException as error:
        killed = isinstance(error, StageInterrupted | KeyboardInterrupt)
        if not isinstance(error, Undelivered):  # to a server that is away nothing can be told
            with suppress(*AWAY):  # the error itself is what is to be seen
                setting.tracker.end(run_id, "KILLED" if killed else "FAILED")
                setting.tracker.tag(run_id, error=str(error)[-ERROR_LIMIT:])
        setting.display.finish(
            cell.name, "interrupted, its checkpoints are kept" if killed else f"failed: {error}"
        )
        raise


def tags_of(cell: Cell, setting: Setting) -> dict[str, str]:
    """The tags with which a cell's MLflow run begins."""
    spec = {"encoder_spec": cell.spec} if cell.spec else {}
    return {
        "stage": cell.stage,
        "encoder": cell.encoder,
        **spec,
        "recipe": setting.recipe,
        "fingerprint": cell.key,
        "seed": str(cell.config.seed),
        "encoder_run": cell.encoder_run,
        "command": setting.command,
    }


def hand_in(cell: Cell, setting: Setting, outcome: Outcome, folder: Path) -> None:
    """Send a stage's files and metrics, and close its run; what is there already stays."""
    setting.tracker.artifact(outcome.run_id, folder / RESULT)
    if (folder / LOG).exists():
        setting.tracker.artifact(outcome.run_id, folder / LOG)
    register_encoder(cell, setting, outcome.run_id, outcome.result)
    clear(setting.tracker, outcome.run_id)
    setting.tracker.finish(outcome.run_id, outcome.result)


def register_encoder(cell: Cell, setting: Setting, run_id: str, result: StageResult) -> None:
    """Enter an encoder, or what a linear probe says of one, in the register of models."""
    if cell.stage in makers():
        tags = {"encoder": cell.encoder, "recipe": setting.recipe, "fingerprint": cell.key}
        register(setting.tracker, run_id, tags)
    if PROBE in result.metrics and cell.encoder_run:
        data = hashlib.sha256(json.dumps(sorted(data_digests(cell.config).values())).encode())
        top1 = result.metrics[PROBE].value
        probed(setting.tracker, cell.encoder_run, top1, data.hexdigest())


def join_cell(cell: Cell, work_dir: Path, resources: Resources) -> None:
    """Lend this machine to a cell that another one runs in the same `work_dir`, unless it is done.

    Raises:
        UserError, StageFailed, StageInterrupted: as :func:`pipelines.cells.launch.launch`.
    """
    folder = cell_folder(cell, work_dir)
    if finished_result(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"log-{socket.gethostname()}.txt"
    launch(folder / JOB, log, usable(cell, resources), lambda event: None)


def summary(result: StageResult) -> str:
    """The metrics in one line."""
    parts = []
    for name, metric in result.metrics.items():
        interval = "" if metric.ci95 is None else f" ± {metric.ci95:.3f}"
        digits = 3 if abs(metric.value) < 1000 else 0  # a share or a loss, or a count
        parts.append(f"{name} {metric.value:.{digits}f}{interval} {metric.unit}".rstrip())
    return ", ".join(parts)


def accepted_note(folder: Path) -> str:
    """What is said of a stage that goes on with another code's training; '' of others."""
    codes = accepted_codes(folder)
    return f" (trained by other code too, which was accepted: {', '.join(codes)})" if codes else ""


def _train(
    cell: Cell, setting: Setting, folder: Path, points: Delivery, status: Status
) -> StageResult:
    tracker, display, begun = setting.tracker, setting.display, time.monotonic()
    run_id, log = points.run_id, folder / LOG
    resumes = f"resumes from its last checkpoint{accepted_note(folder)}"
    display.say(f"{cell.name}: {resumes if status == 'resumed' else 'starts'}")

    def on_event(event: Event) -> None:
        points.add(event)
        if event["event"] == "progress":
            display.update(cell.name, event["done"], event["total"], event["unit"], event["shown"])
        elif event["event"] == "note":
            display.say(f"{cell.name}: {event['text']}")
        if setting.watch:
            setting.watch(event)

    try:
        with monitored(tracker, run_id), uploading(tracker, run_id, folder):
            launch(folder / JOB, log, usable(cell, setting.resources), on_event)
    finally:
        with suppress(*AWAY):
            tracker.artifact(run_id, log)
    result = whole_result(folder, cell.inputs, display.say)
    if result is None:
        raise StageFailed(f"the stage left no result in {folder} that can be taken")
    display.finish(cell.name, f"{summary(result)} ({time.monotonic() - begun:.0f} s)")
    return result
