"""One cell of the matrix: a stage for one encoder, reused, resumed or run."""

import hashlib
import json
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config

from mae_core.engine.checkpoint import checkpoints
from mae_core.stage import StageResult
from pipelines import lineage
from pipelines.delivery import Delivery
from pipelines.display import Shown
from pipelines.events import EVENTS, Event, read_events
from pipelines.folder import (
    CONFIG,
    JOB,
    RECORD,
    RESULT,
    STAGES,
    alone,
    finished_result,
    read_record,
    training_files,
)
from pipelines.identity import content_of, data_digests, fingerprint
from pipelines.launch import Resources, StageInterrupted, launch
from pipelines.machine import watched
from pipelines.patience import AWAY, patiently
from pipelines.registry import PROBE, probed, register
from pipelines.reuse import restore, taken
from pipelines.stages import MAKE_ENCODERS, PARALLEL
from pipelines.tracking import Tracker
from pipelines.upload import clear, take_over, uploading

ERROR_LIMIT = 2000  # characters of a tag, from the end, where the cause is
Status = Literal["reused", "resumed", "run"]
Slot = Callable[[], AbstractContextManager[tuple[str, ...] | None]]


@dataclass(frozen=True)
class Cell:
    """What to do.

    Attributes:
        stage: a name of :data:`pipelines.stages.STAGES`.
        encoder: the row's name.
        source: 'random', 'supervised', or the path of the encoder's file.
        config: the stage's config.
        repeat: 0, or the number of a further run with another seed.
        encoder_run: id of the MLflow run that made the encoder, '' if none did.
    """

    stage: str
    encoder: str
    source: str
    config: Config
    repeat: int = 0
    encoder_run: str = ""

    @property
    def name(self) -> str:
        """Such as 'detect[mae]', and 'detect[mae]#1' for a further run."""
        return f"{self.stage}[{self.encoder}]" + (f"#{self.repeat}" if self.repeat else "")

    @cached_property
    def key(self) -> str:
        """See :func:`pipelines.identity.fingerprint`, which reads the encoder and the data."""
        return fingerprint(self.config, self.source)


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


@dataclass(frozen=True)
class Outcome:
    """How a cell ended."""

    status: Status
    run_id: str
    result: StageResult


def fed(cell: Cell, upstream: Outcome) -> Cell:
    """The cell with the checkpoint of another one as its encoder."""
    assert upstream.result.checkpoint is not None
    return replace(cell, source=upstream.result.checkpoint, encoder_run=upstream.run_id)


def run_cell(cell: Cell, setting: Setting, slot: Slot = nullcontext) -> Outcome:
    """Reuse the cell's finished result, or run it, from its last checkpoint where there is one.

    Waits for another process that works at the same cell in the same folder.

    Args:
        cell: what to do.
        setting: where.
        slot: is entered to compute; gives the GPUs for that, None for the setting's.

    Raises:
        UserError, StageFailed, StageInterrupted: as :func:`pipelines.launch.launch`; the MLflow run
            is then closed as failed or killed, and a later call continues it.
    """
    with alone(cell_folder(cell, setting.work_dir)) as folder:
        place = setting.tracker.place
        if outcome := patiently(lambda: finished(cell, setting, folder), place):
            return outcome
        with slot() as gpus:
            if gpus is not None:
                setting = replace(setting, resources=replace(setting.resources, gpus=gpus))
            return compute(cell, setting, folder)


def finished(cell: Cell, setting: Setting, folder: Path) -> Outcome | None:
    """The finished result of this folder or, if nothing was begun in it, of another work dir.

    Files of a finished run that are gone from the folder come back from MLflow.
    """
    tracker, record = setting.tracker, folder / RECORD
    run_id = read_record(record).get("run_id", "")
    begun, say = record.exists() or not setting.elsewhere, setting.display.say
    if not begun and (run_id := restore(cell.key, cell.encoder, tracker, folder, say)):
        record.write_text(json.dumps({"run_id": run_id}))
    if not (run_id and tracker.finished(run_id)):
        return None
    result = finished_result(folder)
    if not result and taken(tracker.client.get_run(run_id), tracker, folder, say):
        result = finished_result(folder)
    if not result:
        return None
    tracker.adopt(run_id, cell.name, setting.parent)
    setting.display.finish(cell.name, f"reused, {summary(result)}")
    return Outcome("reused", run_id, result)


def compute(cell: Cell, setting: Setting, folder: Path) -> Outcome:
    """Run the cell in its folder, in the same MLflow run as the last time."""
    tracker, record = setting.tracker, folder / RECORD
    earlier, result = read_record(record).get("run_id", ""), finished_result(folder)
    tags = {
        "stage": cell.stage,
        "encoder": cell.encoder,
        "recipe": setting.recipe,
        "fingerprint": cell.key,
        "seed": str(cell.config.seed),
        "encoder_run": cell.encoder_run,
        "command": setting.command,
    }
    if setting.elsewhere and not record.exists():
        take_over(cell.key, cell.encoder, tracker, folder, setting.display.say)
    run_id = tracker.start(cell.name, tags, setting.parent, resumed=earlier)
    record.write_text(json.dumps({"run_id": run_id}))
    status: Status = "resumed" if checkpoints(folder) else "run"
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


def hand_in(cell: Cell, setting: Setting, outcome: Outcome, folder: Path) -> None:
    """Send a stage's files and metrics, and close its run; what is there already stays."""
    setting.tracker.artifact(outcome.run_id, folder / RESULT)
    enter(cell, setting, outcome.run_id, outcome.result)
    clear(setting.tracker, outcome.run_id)
    setting.tracker.finish(outcome.run_id, outcome.result)


def enter(cell: Cell, setting: Setting, run_id: str, result: StageResult) -> None:
    """Enter an encoder, or what a linear probe says of one, in the register of models."""
    if cell.stage in MAKE_ENCODERS:
        tags = {"encoder": cell.encoder, "recipe": setting.recipe, "fingerprint": cell.key}
        register(setting.tracker, run_id, tags)
    if cell.stage == "linear-probe" and cell.encoder_run:
        data = hashlib.sha256(json.dumps(sorted(data_digests(cell.config).values())).encode())
        top1 = result.metrics[PROBE].value
        probed(setting.tracker, cell.encoder_run, top1, data.hexdigest())


def describe(cell: Cell, tracker: Tracker, run_id: str, folder: Path) -> None:
    """Note where the run's numbers will come from; what is noted already stays."""
    tracker.params(run_id, {"encoder.name": cell.encoder, **loggable(cell.config)})
    tracker.artifact(run_id, folder / CONFIG)
    digests = {root: value[:16] for root, value in data_digests(cell.config).items()}
    tracker.tag(
        run_id,
        data=json.dumps(digests),
        encoder_digest=content_of(cell.source),
        code=json.dumps(lineage.code()),
        versions=json.dumps(lineage.versions()),
        hardware=json.dumps(lineage.hardware()),
    )
    tracker.inputs(run_id, lineage.datasets(cell.config))
    if patch := lineage.uncommitted():
        tracker.text(run_id, patch, "code.diff")


def join_cell(cell: Cell, work_dir: Path, resources: Resources) -> None:
    """Lend this machine to a cell that another one runs in the same `work_dir`, unless it is done.

    Raises:
        UserError, StageFailed, StageInterrupted: as :func:`pipelines.launch.launch`.
    """
    folder = cell_folder(cell, work_dir)
    if finished_result(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"log-{socket.gethostname()}.txt"
    launch(folder / JOB, log, resources, lambda event: None)


def cell_folder(cell: Cell, work_dir: Path) -> Path:
    """Where a cell keeps everything."""
    return work_dir / STAGES / f"{cell.stage}-{Path(cell.encoder).stem}-{cell.key}"


def summary(result: StageResult) -> str:
    """The metrics in one line."""
    parts = []
    for name, metric in result.metrics.items():
        interval = "" if metric.ci95 is None else f" ± {metric.ci95:.3f}"
        parts.append(f"{name} {metric.value:.3f}{interval}")
    return ", ".join(parts)


def _train(
    cell: Cell, setting: Setting, folder: Path, points: Delivery, status: Status
) -> StageResult:
    tracker, display, begun = setting.tracker, setting.display, time.monotonic()
    run_id = points.run_id
    job, log = write_job(cell, folder), folder / "log.txt"
    patiently(lambda: describe(cell, tracker, run_id, folder), tracker.place)
    display.say(
        f"{cell.name}: {'resumes from its last checkpoint' if status == 'resumed' else 'starts'}"
    )

    def on_event(event: Event) -> None:
        points.add(event)
        if event["event"] == "progress":
            display.update(cell.name, event["done"], event["total"], event["unit"], event["shown"])
        elif event["event"] == "note":
            display.say(f"{cell.name}: {event['text']}")
        if setting.watch:
            setting.watch(event)

    try:
        with watched(tracker, run_id), uploading(tracker, run_id, folder):
            launch(job, log, usable(cell.stage, setting.resources), on_event)
    except BaseException as error:
        killed = isinstance(error, StageInterrupted | KeyboardInterrupt)
        with suppress(*AWAY):  # the error itself is what is to be seen
            tracker.end(run_id, "KILLED" if killed else "FAILED")
            tracker.tag(run_id, error=str(error)[-ERROR_LIMIT:])
        display.finish(
            cell.name, "interrupted, its checkpoints are kept" if killed else f"failed: {error}"
        )
        raise
    finally:
        with suppress(*AWAY):
            tracker.artifact(run_id, log)
    result = StageResult.load(folder / RESULT)
    display.finish(cell.name, f"{summary(result)} ({time.monotonic() - begun:.0f} s)")
    return result


def write_job(cell: Cell, folder: Path) -> Path:
    """Write the cell's config and what :mod:`pipelines.stage_process` needs; the path of that."""
    config, job = folder / CONFIG, folder / JOB
    cell.config.dump(str(config))
    content = {
        "stage": cell.stage,
        "encoder": cell.source,
        "config": str(config),
        "work_dir": str(folder),
    }
    job.write_text(json.dumps(content))
    return job


def usable(stage: str, resources: Resources) -> Resources:
    """What of a machine the stage can use: one device, unless it can share several."""
    return resources if stage in PARALLEL else replace(resources, devices=1)


def loggable(config: Config) -> dict[str, Any]:
    """The part of a config that is worth a table of parameters; all of it is an artifact."""
    verbose = ("model", "default_hooks", "env_cfg", "log_level", "default_scope")
    return {
        key: value
        for key, value in config.to_dict().items()
        if key not in verbose and not key.endswith(("pipeline", "_evaluator"))
    }
