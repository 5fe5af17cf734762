"""What is read of a stored run."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities import Run

from pipelines.tracking.tracker import Tracker


def download(tracker: Tracker, run: Run, path: str) -> bytes:
    """An artifact's content.

    Raises:
        Damaged: if it is not what was uploaded.
        MlflowException, OSError: if the run has no such file.
    """
    with tempfile.TemporaryDirectory() as folder:
        return tracker.fetch(run, path, Path(folder)).read_bytes()


def date_of(run: Run) -> str:
    """The day on which a run began, such as '2026-11-26', in UTC."""
    return datetime.fromtimestamp(run.info.start_time / 1000, UTC).date().isoformat()
