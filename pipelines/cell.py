"""One cell of the matrix: a stage for one encoder, reused, resumed or run."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config

from mae_core.stage import StageResult
from pipelines.display import Display
from pipelines.launch import StageInterrupted, launch
from pipelines.stages import data_digests, fingerprint
from pipelines.tracking import Tracker

ERROR_LIMIT = 2000  # characters of a tag, from the end, where the cause is
Status = Literal["reused", "resumed", "run"]


@dataclass(frozen=True)
class Cell:
    """What to do.

    Attributes:
        stage: a name of :data:`pipelines.stages.STAGES`.
        encoder: the row's name.
        source: 'random', or the path of the encoder's file.
        config: the stage's config.
    """

    stage: str
    encoder: str
    source: str
    config: Config

    @property
    def name(self) -> str:
        """Such as 'detect[mae]'."""
        return f"{self.stage}[{self.encoder}]"


@dataclass(frozen=True)
class Setting:
    """Where cells run and report to."""

    work_dir: Path
    tracker: Tracker
    display: Display
    recipe: str
    parent: str | None = None
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """How a cell ended."""

    status: Status
    run_id: str
    result: StageResult


def run_cell(cell: Cell, setting: Setting) -> Outcome:
    """Reuse the cell's finished result, or run it, from its last checkpoint where there is one.

    Raises:
        UserError, StageFailed, StageInterrupted: as :func:`pipelines.launch.launch`; the MLflow run
            is then closed as failed or killed, and a later call continues it.
    """
    key = fingerprint(cell.config, cell.source)
    folder = setting.work_dir / "stages" / f"{cell.stage}-{Path(cell.encoder).stem}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    tracker, record = setting.tracker, folder / "run.json"
    earlier = read_record(record).get("run_id", "")
    result = finished_result(folder)
    if result and earlier and tracker.finished(earlier):
        tracker.adopt(earlier, cell.name, setting.parent)
        setting.display.finish(cell.name, f"reused, {summary(result)}")
        return Outcome("reused", earlier, result)
    tags = {
        "stage": cell.stage,
        "encoder": cell.encoder,
        "recipe": setting.recipe,
        "fingerprint": key,
    }
    run_id = tracker.start(cell.name, tags, setting.parent, resumed=earlier)
    record.write_text(json.dumps({"run_id": run_id}))
    status: Status = "resumed" if (folder / "last_checkpoint").exists() else "run"
    if result is None:
        result = _train(cell, setting, folder, run_id, status)
    tracker.finish(run_id, result)
    return Outcome(status, run_id, result)


def finished_result(folder: Path) -> StageResult | None:
    """The result in a stage's folder, if all its files are still there."""
    try:
        result = StageResult.load(folder / "result.json")
    except (OSError, ValueError, TypeError, AttributeError, KeyError):  # missing or damaged
        return None
    return result if result.files_exist() else None


def read_record(path: Path) -> dict[str, Any]:
    """A JSON file's dict; empty if it is missing, or cut short by a crash."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def summary(result: StageResult) -> str:
    """The metrics in one line."""
    parts = []
    for name, metric in result.metrics.items():
        interval = "" if metric.ci95 is None else f" ± {metric.ci95:.3f}"
        parts.append(f"{name} {metric.value:.3f}{interval}")
    return ", ".join(parts)


def _train(cell: Cell, setting: Setting, folder: Path, run_id: str, status: Status) -> StageResult:
    tracker, display, begun = setting.tracker, setting.display, time.monotonic()
    config_file, job, log = folder / "config.py", folder / "job.json", folder / "log.txt"
    cell.config.dump(str(config_file))
    job.write_text(
        json.dumps(
            {
                "stage": cell.stage,
                "encoder": cell.source,
                "config": str(config_file),
                "work_dir": str(folder),
            }
        )
    )
    tracker.params(run_id, {"source": cell.source, **loggable(cell.config)})
    digests = {root: value[:16] for root, value in data_digests(cell.config).items()}
    tracker.tag(run_id, data=json.dumps(digests))
    tracker.artifact(run_id, config_file)
    display.say(
        f"{cell.name}: {'resumes from its last checkpoint' if status == 'resumed' else 'starts'}"
    )
    seen = tracker.last_steps(run_id)

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            display.update(cell.name, event["done"], event["total"], event["unit"], event["shown"])
        else:
            step, values = event["step"], event["values"]
            new = {key: value for key, value in values.items() if step > seen.get(key, -1)}
            tracker.points(run_id, new, step)

    try:
        launch(job, log, setting.threads, on_event)
    except BaseException as error:
        killed = isinstance(error, StageInterrupted | KeyboardInterrupt)
        tracker.end(run_id, "KILLED" if killed else "FAILED")
        tracker.tag(run_id, error=str(error)[-ERROR_LIMIT:])
        display.finish(
            cell.name, "interrupted, its checkpoints are kept" if killed else f"failed: {error}"
        )
        raise
    finally:
        if log.exists():
            tracker.artifact(run_id, log)
    result = StageResult.load(folder / "result.json")
    display.finish(cell.name, f"{summary(result)} ({time.monotonic() - begun:.0f} s)")
    return result


def loggable(config: Config) -> dict[str, Any]:
    """The part of a config that is worth a table of parameters; all of it is an artifact."""
    verbose = ("model", "default_hooks", "env_cfg", "log_level", "default_scope")
    return {
        key: value
        for key, value in config.to_dict().items()
        if key not in verbose and not key.endswith(("pipeline", "_evaluator"))
    }
