"""Start a stage's process, listen to it, and never leave it behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mae_core.errors import UserError
from pipelines.cells.resources import Resources
from pipelines.cells.warm import Process
from pipelines.cells.warm import start as begin
from pipelines.errors import StageFailed, StageInterrupted
from pipelines.events import EVENTS, Event, follow
from pipelines.last_net import check_writable
from pipelines.stopping import SIGNALS, ignoring_signals, let_stages_start, stop_stages, stopping

STARTED_BY_WORKER = "PREFECT__FLOW_RUN_ID"
GRACE = "MAE_BENCH_GRACE"  # seconds between SIGTERM and SIGKILL: for a step and a checkpoint
LOG_TAIL = 15  # lines of the log in an error message

_running: set[Process] = set()


def launch(job: Path, log: Path, resources: Resources, on_event: Callable[[Event], None]) -> None:
    """Run the stage that `job` describes and pass on its events until it ends.

    Args:
        job: JSON for :mod:`pipelines.cells.stage_process`.
        log: file that gets the processes' output.
        resources: what the stage may use.
        on_event: called with each event of progress, metrics or a note, in order.

    Raises:
        UserError: if the stage found a mistake of the user.
        StageInterrupted: after :func:`stop_all`, or if the stage was asked to stop.
        StageFailed: if the process failed otherwise.
    """
    if stopping():
        raise StageInterrupted("stopped before its start")
    events = job.with_name(EVENTS)
    events.touch()
    start = events.stat().st_size
    with open(log, "ab") as output:
        process = begin(job, output, resources)
    _running.add(process)
    if stopping():  # asked for since the start of this function
        stop([process])
    try:
        for event in follow(events, start, process):
            if event["event"] == "error":
                raise UserError(event["message"])
            if event["event"] == "interrupted":
                with suppress(subprocess.TimeoutExpired):  # torchrun waits for other machines
                    process.wait(grace())
                raise StageInterrupted(f"stopped; see {log}")
            on_event(event)
    finally:
        with ignoring_signals():  # a second wish to stop, as of Ray, would leave the children
            stop([process])
        _running.discard(process)
    # A signal that came before the stage heeds them is one to this process or to the stage alone.
    if stopping() or -(process.returncode or 0) in SIGNALS:
        raise StageInterrupted(f"stopped; see {log}")
    if process.returncode:
        check_writable(job.parent)  # a full disk takes neither an event nor the end of the log
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL:])
        raise StageFailed(
            f"the stage's process ended with code {process.returncode}; the end of {log}:\n{tail}"
        )


@contextmanager
def stopping_on_error() -> Iterator[None]:
    """Within the block stages may start; if it raises, all are stopped and no other starts."""
    let_stages_start()
    try:
        yield
    except BaseException:
        with ignoring_signals():
            stop_all()
        raise


def running() -> list[Process]:
    """The processes of the stages that run now."""
    return list(_running)


def stop_all() -> None:
    """Stop every stage's process with all its children; those still to come do not start."""
    stop_stages()
    stop(running())


def grace() -> float:
    """Seconds from the variable `MAE_BENCH_GRACE`.

    Without it 60, and 25 for a worker of Prefect, which kills a cancelled flow run after 30.

    Raises:
        UserError: if it is no number.
    """
    text = os.environ.get(GRACE, "25" if STARTED_BY_WORKER in os.environ else "60")
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{GRACE}={text}: expected seconds") from None


def stop(processes: Iterable[Process]) -> None:
    """SIGTERM, at most a grace period, SIGKILL, each to the process's whole group."""
    processes, seconds = list(processes), grace()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):  # children may outlive their process
                os.killpg(process.pid, number)
        end = time.monotonic() + seconds  # for all of them together
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(end - time.monotonic(), 0))
    for process in processes:
        if process.stdin:
            process.stdin.close()  # torchrun's workers are no longer in its group: they see this
