"""Finished results of other work dirs, users and machines, found in MLflow by their fingerprint."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mae_core.stage import StageResult
from pipelines.artifacts import Damaged, within
from pipelines.folder import RESULT, read_result
from pipelines.tracking import CHECKPOINT, Tracker


def restore(
    fingerprint: str, encoder: str, tracker: Tracker, folder: Path, say: Callable[[str], None]
) -> str:
    """Download into `folder` what a row's finished run with this fingerprint left.

    Args:
        fingerprint: of the cell.
        encoder: the row's name.
        tracker: of MLflow.
        folder: of the cell.
        say: told of a run whose files are damaged, which is not taken.

    Returns:
        The run's id; '' if there is none whose files can be had.
    """
    for run in tracker.runs_with(fingerprint, encoder):
        if taken(run, tracker, folder, say):
            return run.info.run_id
    return ""


def taken(run: Run, tracker: Tracker, folder: Path, say: Callable[[str], None]) -> bool:
    """Whether all files of a run's result are in `folder` now; `say` is told of damaged ones."""
    try:
        return download(run, tracker, folder)
    except Damaged as error:
        say(f"not reused: {error}")
        return False


def download(run: Run, tracker: Tracker, folder: Path) -> bool:
    """Whether all files of a run's result are in `folder` now; if not, it is as it was.

    Raises:
        Damaged: if a file is not what was uploaded, or the result names one outside of its folder.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        stored = Path(name)
        try:
            tracker.fetch(run, RESULT, stored)
            result = read_result(stored)
            files = places(result, stored) if result else {}
            for artifact in files:
                tracker.fetch(run, artifact, stored)
        except (MlflowException, OSError):  # kept elsewhere, or lost
            return False
        for artifact, place in files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(stored / artifact, folder / place)
    return bool(files)


def places(result: StageResult, folder: Path) -> dict[str, Path]:
    """The files of a result in `folder`: by their names in MLflow, the places below the folder.

    The result itself is the last: it stands for all.

    Raises:
        Damaged: if one is outside of the folder.
    """
    files = {Path(file).name: Path(file) for file in result.artifacts.values()}
    if result.checkpoint:
        files[f"{CHECKPOINT}/{Path(result.checkpoint).name}"] = Path(result.checkpoint)
    for name, file in files.items():
        if not within(file, folder):
            raise Damaged(f"{RESULT} names a file outside of its folder as '{name}': {file}")
    inside = {name: file.resolve().relative_to(folder.resolve()) for name, file in files.items()}
    return {**inside, RESULT: Path(RESULT)}
