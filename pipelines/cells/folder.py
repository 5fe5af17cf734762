"""A stage's folder in a work dir: its files, its lock, and what was finished in it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from mae_core.errors import UserError
from mae_core.locks import lock
from mae_core.stage import StageResult
from pipelines.errors import StageInterrupted
from pipelines.stopping import stopping

STAGES = "stages"  # folder of a work dir
BEFORE = f"{STAGES}-before-"  # begins the names of those that `--fresh` set aside
BENCHMARK = "benchmark.json"  # in a work dir: its newest benchmark
CONFIG, JOB, RECORD, RESULT = "config.py", "job.json", "run.json", "result.json"
ACCEPTED = "accepted.json"  # in a stage's folder: the other code that trained what is there
FEATURES = "features"  # beside the stages' folders: what they share
LOCK = ".lock"  # in a stage's folder, and in a work dir: of all that work there
BENCHMARK_LOCK = ".benchmark.lock"  # in a work dir: of its one benchmark
TRAINING = ("step_*.pth", "step_*.damaged")  # what a training resumes from, or could not
PATIENCE = 1.0  # seconds between two looks at a lock, or for a wish to stop


@contextmanager
def exclusive_lock(
    folder: Path,
    shared: bool = False,
    name: str = LOCK,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Path]:
    """Within the block no other process works in `folder`, which is made if it is not there.

    Args:
        folder: of a stage, or a work dir.
        shared: let others in that ask for the same, and keep out those alone only.
        name: of the lock's file.
        say: told once if it has to wait.

    Raises:
        StageInterrupted: if all stages are asked to stop while it waits.
        UserError: if the folder cannot be written, or has no locks.
    """
    waits = False
    while (held := _take_in(folder, name, shared)) is None:
        if stopping():
            raise StageInterrupted(f"stopped while another run had {folder}")
        if not waits:
            say(f"waiting for another run in {folder}")
        waits = True
        time.sleep(PATIENCE)
    with held:
        yield folder


def _take_in(folder: Path, name: str, shared: bool) -> IO[str] | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)  # another one may have removed it meanwhile
        return _take(folder / name, shared)
    except OSError as error:
        raise UserError(
            f"{error.filename or folder} cannot be written ({error.strerror}): mend that, or "
            "choose another folder with --work-dir"
        ) from error


@contextmanager
def locked_at_once(path: Path) -> Iterator[bool]:
    """Whether the file `path` could be locked at once; if so, it is within the block."""
    try:
        held = _take(path)
    except (OSError, UserError):  # of another user, on a disk that is read only, or without locks
        held = None
    with held or nullcontext():
        yield held is not None


def _take(path: Path, shared: bool = False) -> IO[str] | None:
    """The file `path`, locked until it is closed; None if another process has the lock."""
    try:
        file = path.open("a+")  # a shared file system wants both to read and to write
    except FileNotFoundError:
        return None
    try:
        if lock(file, shared, wait=False) and _is_at(file, path):
            return file
    except BaseException:
        file.close()
        raise
    file.close()  # another one has it, or the folder was removed since it was opened
    return None


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def training_files(folder: Path, result: StageResult) -> list[Path]:
    """The checkpoints of a finished stage that its result does not name: nobody reads them.

    Who asks for more epochs has another fingerprint, hence another folder.
    """
    found = {path for pattern in TRAINING for path in folder.rglob(pattern)}
    return sorted(found - {Path(name) for name in result.files()})


def finished_result(folder: Path) -> StageResult | None:
    """The result in a stage's folder, if all its files are still there, as large as they were.

    Whoever goes on with them looks at their content too: :meth:`StageResult.damaged`.
    """
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
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def accepted_codes(folder: Path) -> list[str]:
    """Hashes of the other code that trained what is in a stage's folder, the first first."""
    found: list[str] = read_record(folder / ACCEPTED).get("codes", [])
    return found


def set_aside(work_dir: Path, say: Callable[[str], None], folder: Path | None = None) -> None:
    """Put stages' results away, so that none is reused, as soon as nobody works in the work dir.

    Args:
        work_dir: of the stages.
        say: told if it has to wait.
        folder: of the one stage to put away, with the features that several share; else of all.
    """
    stages = work_dir / STAGES
    with exclusive_lock(work_dir, say=say):
        old = [path for path in (folder, stages / FEATURES) if path] if folder else [stages]
        old = [path for path in old if path.exists()]
        place = unused(work_dir / f"{BEFORE}{time.strftime('%Y%m%d-%H%M%S')}")
        if not folder:
            for path in old:
                path.rename(place)
            return
        for path in old:
            place.mkdir(exist_ok=True)
            path.rename(place / path.name)


def unused(path: Path) -> Path:
    """`path`, or the first of `path-1`, `path-2`, ... that is not there."""
    for number in range(1, 1000):
        if not path.exists():
            break
        path = path.with_name(f"{path.name.partition('.')[0]}.{number}")
    return path
