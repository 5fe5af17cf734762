"""A stage's folder in a work dir: its files, its lock, and what was finished in it."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from mae_core.stage import StageResult
from pipelines.launch import StageInterrupted, stopping

STAGES = "stages"  # folder of a work dir
BEFORE = f"{STAGES}-before-"  # begins the names of those that `--fresh` set aside
BENCHMARK = "benchmark.json"  # in a work dir: its newest benchmark
CONFIG, JOB, RECORD, RESULT = "config.py", "job.json", "run.json", "result.json"
LOCK = ".lock"  # in a stage's folder and in a work dir
TRAINING = ("step_*.pth", "step_*.damaged")  # what a training resumes from, or could not
PATIENCE = 1.0  # seconds between two looks at a lock, or for a wish to stop


@contextmanager
def alone(folder: Path, shared: bool = False) -> Iterator[Path]:
    """Within the block no other process works in `folder`, which is made if it is not there.

    Args:
        folder: of a stage, or a work dir.
        shared: let others in that ask for the same, and keep out those alone only.

    Raises:
        StageInterrupted: if all stages are asked to stop while it waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    while (lock := _take(folder / LOCK, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)) is None:
        if stopping():
            raise StageInterrupted(f"stopped while another run had {folder}")
        time.sleep(PATIENCE)
        folder.mkdir(parents=True, exist_ok=True)  # the other one may have removed it
    with lock:
        yield folder


@contextmanager
def taken_now(lock: Path) -> Iterator[bool]:
    """Whether the file `lock` could be locked at once; if so, it is within the block."""
    try:
        held = _take(lock, fcntl.LOCK_EX)
    except OSError:  # of another user, or on a disk that is read only
        held = None
    with held or nullcontext():
        yield held is not None


def _take(path: Path, kind: int) -> IO[str] | None:
    """The file `path`, locked until it is closed; None if another process has the lock."""
    try:
        lock = path.open("a+")  # a shared file system wants both to read and to write
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    lock.close()  # another one has it, or the folder was removed since it was opened
    return None


def training_files(folder: Path, result: StageResult) -> list[Path]:
    """The checkpoints of a finished stage that its result does not name: nobody reads them.

    Who asks for more epochs has another fingerprint, hence another folder.
    """
    found = {path for pattern in TRAINING for path in folder.rglob(pattern)}
    return sorted(found - {Path(name) for name in result.files()})


def finished_result(folder: Path) -> StageResult | None:
    """The result in a stage's folder, if all its files are still there."""
    result = read_result(folder)
    return result if result and result.files_exist() else None


def read_result(folder: Path) -> StageResult | None:
    """The result in a stage's folder; None if it is missing or damaged."""
    try:
        return StageResult.load(folder / RESULT)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None


def read_record(path: Path) -> dict[str, Any]:
    """A JSON file's dict; empty if it is missing, or cut short by a crash."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
