"""Looking at files and folders without following links, and removing them."""

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psutil

from mae_core.data.cache import cache_root
from pipelines.cells.folder import locked_at_once

SCRATCH = re.compile(r"tmp[a-z0-9_]{8}|\.trial-.*|mae-bench-.*")  # names of temporary folders
PARTS = (".part", ".part.npz", ".partial")  # end the names of what is being written
STAGES = {"pipelines.cells.stage_process", "pipelines.cells.warm_start"}  # run by Python as modules
LONG = 3600.0  # seconds without a change after which nobody works in a temporary folder


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted; those that are links are left out."""
    return [path for path in entries(folder) if path.is_dir()]


def files_in(folder: Path) -> list[Path]:
    """The files in a folder, sorted; those that are links are left out."""
    return [path for path in entries(folder) if path.is_file()]


def entries(folder: Path) -> list[Path]:
    """What is in a folder but for links; nothing if it is a link itself, or cannot be read."""
    try:
        found = [] if folder.is_symlink() else sorted(folder.iterdir())
    except OSError:
        return []
    return [path for path in found if not path.is_symlink()]


def walk(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """A file, or a folder and all below it, with what is known of each; links are not followed."""
    found = [path]
    for place, folders, files in os.walk(path):
        found += [Path(place, name) for name in (*folders, *files)]
    for one in found:
        try:
            about = one.lstat()
        except OSError:  # gone meanwhile
            continue
        yield one, about


def measured(path: Path, counted: set[Path]) -> tuple[int, int]:
    """The files of `path` that are not in `counted`, to which they are added, and their bytes.

    The bytes are those that come free without them: none for what has another name too.
    """
    files = size = 0
    for one, about in walk(path):
        if one in counted or stat.S_ISDIR(about.st_mode):
            continue
        counted.add(one)
        files += 1
        if about.st_nlink == 1:
            size += about.st_blocks * 512
    return files, size


def remove(path: Path) -> None:
    """Remove a file, or a folder with all below it; of a link itself, not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_left(path: Path) -> bool:
    """Whether `path` is a temporary folder of ours in which no process works any more."""
    if not SCRATCH.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    return is_old(path) and not is_used(path)


def is_old(path: Path) -> bool:
    """Whether nothing in a file or folder was changed for a while."""
    return time.time() - max(about.st_mtime for _, about in walk(path)) > LONG


def is_used(path: Path) -> bool:
    """Whether a process of this machine works in a folder, or was told of it at its start."""
    place = str(path.absolute())
    for process in processes():
        told = [*process["cmdline"], *process["environ"].values(), process["cwd"]]
        if any(place in text for text in told):
            return True
    return False


def stage_uses(cache: Path) -> bool:
    """Whether a process of this machine computes a stage with this cache folder."""
    for process in processes():
        is_stage = not STAGES.isdisjoint(process["cmdline"])
        if is_stage and cache_root(process["environ"]) == cache:
            return True
    return False


def processes() -> Iterator[dict[str, Any]]:
    """Command, environment and folder of each process, as far as they may be known."""
    empty = {"cmdline": [], "environ": {}, "cwd": ""}
    for process in psutil.process_iter(list(empty)):
        yield {key: process.info[key] or value for key, value in empty.items()}


@contextmanager
def unlocked(lock: Path) -> Iterator[bool]:
    """Whether nobody has the lock file, which need not be there; if so, it is held."""
    with locked_at_once(lock) if lock.exists() else nullcontext(True) as free:
        yield free
