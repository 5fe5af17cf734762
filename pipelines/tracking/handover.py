"""The state of a training in MLflow while it goes on, so that another machine can continue it.

Below `checkpoints/` of the run are the last checkpoint, the best where the training keeps one, and
the events until then. The last one goes when a newer one is there, and all when the stage is done.
"""

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mae_core.engine.step_checkpoints import checkpoints
from mae_core.files import publish
from pipelines.events import EVENTS
from pipelines.tracking.artifacts import Damaged, tag_of
from pipelines.tracking.patience import AWAY, PATIENCE, SHORTLY
from pipelines.tracking.tracker import Tracker

STATE = "checkpoints"  # a run's folder of artifacts
BEST = "best.pth"
EVERY = 1800.0  # seconds from the end of an upload to the next
STOPPED = ("KILLED", "FAILED")

log = logging.getLogger(__name__)


@contextmanager
def uploading(tracker: Tracker, run_id: str, folder: Path) -> Iterator[None]:
    """Within the block the state in a stage's folder is uploaded now and then, by a thread.

    At the end an upload that has begun is waited for, shortly if the block has failed. What goes
    wrong is a warning.

    Args:
        tracker: of MLflow.
        run_id: of the stage.
        folder: of the stage.
    """
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(EVERY):
            with warned("is not uploaded"):
                upload(tracker, run_id, folder)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    patience = SHORTLY
    try:
        yield
        patience = PATIENCE
    finally:
        ended.set()
        thread.join(patience)


def upload(tracker: Tracker, run_id: str, folder: Path) -> None:
    """Upload the state in a stage's folder if there is a new one, then remove the one before."""
    newest = checkpoints(folder)[:1]
    if not newest:
        return
    with tempfile.TemporaryDirectory(dir=folder) as name:
        frozen = Path(name)  # the training replaces its files meanwhile
        for path in [*newest, *folder.glob(BEST)]:
            os.link(path, frozen / path.name)
        shutil.copy(folder / EVENTS, frozen / EVENTS)
        files = sorted(frozen.iterdir())  # the events, which reach as far, before the checkpoint
        for path in files:
            tracker.artifact(run_id, path, STATE)
    clear(tracker, run_id, [f"{STATE}/{path.name}" for path in files])


def clear(tracker: Tracker, run_id: str, kept: list[str] | None = None) -> None:
    """Remove the state of a run but for the files in `kept`; what goes wrong is a warning."""
    with warned("is not removed from MLflow"):
        for name in tracker.files(run_id, STATE):
            if name not in (kept or []):
                tracker.remove(run_id, name)


def take_over(
    fingerprint: str, encoder: str, tracker: Tracker, folder: Path, say: Callable[[str], None]
) -> None:
    """Download into `folder` the state of the same work that stopped on another machine.

    A run that goes on is left alone, and so is one whose files are not all whole.

    Args:
        fingerprint: of the cell.
        encoder: the row's name.
        tracker: of MLflow.
        folder: of the cell, in which nothing was begun.
        say: told of what is taken, and of files that are damaged.
    """
    for status in STOPPED:
        for run in tracker.runs_with(fingerprint, encoder, status):
            try:
                if download_state(run, tracker, folder):
                    say(f"continues what the MLflow run {run.info.run_id} has uploaded")
                    return
            except (Damaged, *AWAY) as error:
                say(f"not continued: {error}")


def download_state(run: Run, tracker: Tracker, folder: Path) -> bool:
    """Whether a run has a state, which is in `folder` then.

    Raises:
        Damaged: if a file is not what was uploaded.
        MlflowException: if one was not uploaded to its end, or cannot be had.
    """
    names = tracker.files(run.info.run_id, STATE)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for file in names:
            if tag_of(file) not in run.data.tags:
                raise MlflowException(f"'{file}' of {run.info.run_id} is not whole")
            tracker.fetch(run, file, Path(name))
        for file in names:
            publish(Path(name) / file, folder / Path(file).name)
    return bool(names)


@contextmanager
def warned(what: str) -> Iterator[None]:
    """Turn a failure of the block into a warning."""
    try:
        yield
    except AWAY as error:
        log.warning("a checkpoint %s: %s", what, error)
