"""The cache folder, and folders that are either complete or not there."""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mae_core.errors import UserError
from mae_core.locks import lock

log = logging.getLogger(__name__)


def cache_root(environment: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CACHE_HOME/mae-bench`, or `~/.cache/mae-bench` without that variable."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "mae-bench"


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of `target`, which need not exist; waits for the process that has it.

    Raises:
        UserError: if the folder above `target` cannot be written, or its file system has no locks.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = (target.parent / f".{target.name}.lock").open("w")
    except OSError as error:
        raise _cannot_write(target.parent, error) from error
    with handle:
        if not lock(handle, wait=False):
            log.info("waiting for another process that writes %s", target)
            lock(handle)
        yield


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` if the block succeeds, else is removed.

    Call it under `locked(target)`: a rest left by a killed process is cleared at the start.

    Raises:
        UserError: if the disk is full or the place cannot be written.
    """
    partial = target.parent / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        yield partial
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write {path} ({error.strerror}): make room, or name another folder "
        "(XDG_CACHE_HOME moves the cache)"
    )
