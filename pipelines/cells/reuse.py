"""Finished results of other work dirs, users and machines, found in MLflow by their fingerprint."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from mae_core.files import checksum, publish
from mae_core.stage import StageResult
from pipelines.cells.folder import RESULT, accepted_codes, read_result
from pipelines.tracking.artifacts import SHA256, UNREADABLE, Damaged, within
from pipelines.tracking.stored_run import StoredRun
from pipelines.tracking.tracker import CHECKPOINT, Tracker


def restore(
    fingerprint: str, encoder: str, tracker: Tracker, folder: Path, say: Callable[[str], None]
) -> str:
    """Download into `folder` what a row's finished run with this fingerprint left.

    One that went on with a training of other code counts only where that was accepted.

    Args:
        fingerprint: of the cell.
        encoder: the row's name.
        tracker: of MLflow.
        folder: of the cell.
        say: told of a run whose files are damaged, which is not taken.

    Returns:
        The run's id; '' if there is none whose files can be had.
    """
    for run in tracker.computed(fingerprint, encoder):
        if run.accepted_code:
            say(f"not reused: the MLflow run {run.id} went on with a training of other code")
        elif fetched(run, tracker, folder, say):
            return run.id
    return ""


def fetched(run: StoredRun, tracker: Tracker, folder: Path, say: Callable[[str], None]) -> bool:
    """Whether all files of a run's result are in `folder` now; `say` is told of damaged ones."""
    try:
        return download(run, tracker, folder)
    except Damaged as error:
        say(f"not reused: {error}")
        return False


def download(run: StoredRun, tracker: Tracker, folder: Path) -> bool:
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
        except UNREADABLE:  # kept elsewhere, or lost
            return False
        for artifact, place in files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            publish(stored / artifact, folder / place)
    return bool(files)


def whole_result(
    folder: Path,
    inputs: Mapping[str, str],
    say: Callable[[str], None],
    tags: Mapping[str, str] | None = None,
) -> StageResult | None:
    """The result in a stage's folder, if all its files are what they were when the stage ended.

    Args:
        folder: of the stage.
        inputs: what the stage's fingerprint is made of; for its code an accepted one may stand.
        say: told of what is damaged.
        tags: of the MLflow run that has finished with this result, which knows checksums too.
    """
    result = read_result(folder)
    if result is None:
        return None
    if result.inputs.get("code") in accepted_codes(folder):
        inputs = {**inputs, "code": result.inputs["code"]}
    if result.inputs and result.inputs != inputs:
        names = sorted(k for k, _ in result.inputs.items() ^ inputs.items())
        say(f"not reused: {folder / RESULT} was computed with other {', '.join(set(names))}")
        return None
    try:
        damaged = damaged_files(result, folder, tags or {})
    except Damaged as error:
        say(f"not reused: {error}")
        return None
    for name in damaged:
        there = Path(name).exists()
        say(f"{name} is {'damaged: it is not what the stage wrote' if there else 'gone'}")
    return None if damaged else result


def damaged_files(result: StageResult, folder: Path, tags: Mapping[str, str]) -> list[str]:
    """The files that are gone or not what they were, by the result's checksums or the run's.

    Raises:
        Damaged: as :func:`places`.
    """
    found = result.damaged()
    for name, place in places(result, folder).items():
        file, expected = folder / place, tags.get(SHA256 + name)
        if expected and str(file) not in {*result.checksums, *found} and checksum(file) != expected:
            found.append(str(file))
    return found


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
