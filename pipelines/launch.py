"""Start a stage's process, listen to it, and never leave it behind."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mae_core.errors import UserError

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
LOG_TAIL = 15  # lines of the log in an error message

_running: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


class StageFailed(Exception):
    """A stage's process ended with an error; the message has the end of its log."""


class BenchmarkFailed(Exception):
    """Some stages of a benchmark failed; the others are finished and in the report."""


class StageInterrupted(Exception):
    """A stage's process was stopped on request; what it saved can be resumed."""


def launch(job: Path, log: Path, threads: int, on_event: Callable[[dict[str, Any]], None]) -> None:
    """Run the stage that `job` describes and pass on its events until it ends.

    Args:
        job: JSON for :mod:`pipelines.stage_process`.
        log: file that gets the process's output.
        threads: CPU threads for the process.
        on_event: called with each event, in order.

    Raises:
        UserError: if the stage found a mistake of the user.
        StageInterrupted: after :func:`stop_all`.
        StageFailed: if the process failed otherwise.
    """
    if _stopping.is_set():
        raise StageInterrupted("stopped before its start")
    read_end, write_end = os.pipe()
    mistakes: list[str] = []
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.stage_process", str(job), str(write_end)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(write_end,),
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
        )
    os.close(write_end)
    _running.add(process)
    if _stopping.is_set():  # asked for since the start of this function
        stop([process])
    try:
        with os.fdopen(read_end) as events:
            for line in events:
                event = json.loads(line)
                if event["event"] == "error":
                    mistakes.append(event["message"])
                else:
                    on_event(event)
        code = process.wait()
    finally:
        stop([process])
        _running.discard(process)
    if _stopping.is_set():
        raise StageInterrupted(f"stopped; see {log}")
    if mistakes:
        raise UserError(mistakes[0])
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL:])
        raise StageFailed(f"the stage's process ended with code {code}; the end of {log}:\n{tail}")


@contextmanager
def stopping_on_error() -> Iterator[None]:
    """Within the block stages may start; if it raises, all are stopped and no other starts."""
    _stopping.clear()
    try:
        yield
    except BaseException:
        stop_all()
        raise


def stop_all() -> None:
    """Stop every stage's process with all its children; those still to come do not start."""
    _stopping.set()
    stop(list(_running))


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """SIGTERM, at most a grace period, SIGKILL, each to the process's whole group."""
    processes = list(processes)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):  # children may outlive their process
                os.killpg(process.pid, number)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
