"""Finished results of other work dirs, users and machines, found in MLflow by their fingerprint."""

import shutil
import tempfile
from pathlib import Path

from mlflow.exceptions import MlflowException
from requests.exceptions import RequestException

from mae_core.stage import StageResult
from pipelines.tracking import CHECKPOINT, Tracker

RESULT = "result.json"


def restore(fingerprint: str, encoder: str, tracker: Tracker, folder: Path) -> str:
    """Download into `folder` what a row's finished run with this fingerprint left.

    Returns:
        The run's id; '' if there is none whose files can be had.
    """
    for run_id in tracker.finished_with(fingerprint, encoder):
        if download(run_id, tracker, folder):
            return run_id
    return ""


def download(run_id: str, tracker: Tracker, folder: Path) -> bool:
    """Whether all files of a run's result are in `folder` now; if not, it is as it was."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        stored = Path(name)
        try:
            tracker.client.download_artifacts(run_id, "", name)
            result = StageResult.load(stored / RESULT)
        except (MlflowException, RequestException, OSError, ValueError):  # kept elsewhere, or lost
            return False
        files = {stored / Path(file).name: Path(file) for file in result.artifacts.values()}
        if result.checkpoint:
            files[stored / CHECKPOINT / Path(result.checkpoint).name] = Path(result.checkpoint)
        files[stored / RESULT] = stored / RESULT
        if not all(file.exists() and place.is_relative_to(stored) for file, place in files.items()):
            return False
        for file, place in files.items():  # the result last: it stands for all
            target = folder / place.relative_to(stored)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, target)
    return True
