"""Start a stage's process, listen to it, and never leave it behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mae_core.errors import UserError
from pipelines.events import EVENTS, Event, follow
from pipelines.last_net import check_writable
from pipelines.stopping import SIGNALS, deaf

GPUS = "CUDA_VISIBLE_DEVICES"
STARTED_BY_WORKER = "PREFECT__FLOW_RUN_ID"
# How often a stage's threads look for each other before they sleep. The default, 300,000 looks (GNU
# libgomp's manual), takes the core that the thread they wait for needs, if others work beside
# (benchmarks/threads.py).
SPIN, LOOKS = "GOMP_SPINCOUNT", "1000"
GRACE = "MAE_BENCH_GRACE"  # seconds between SIGTERM and SIGKILL: for a step and a checkpoint
RESTARTS = 3  # of several processes after one was lost
LOG_TAIL = 15  # lines of the log in an error message

_running: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


class StageFailed(Exception):
    """A stage's process ended with an error; the message has the end of its log."""


class BenchmarkFailed(Exception):
    """Some stages of a benchmark failed; the others are finished and in the report."""


class StageInterrupted(Exception):
    """A stage's process was stopped on request; what it saved can be resumed."""


@dataclass(frozen=True)
class Resources:
    """What a stage may use.

    Attributes:
        threads: that each process computes with; they decide the result's last digits.
        devices: processes on this machine, each with a GPU of its own where there are any.
        nodes: machines.
        rendezvous: `host:port` of the first of several machines.
        gpus: those that the stage sees, as in `CUDA_VISIBLE_DEVICES`; None for what is set there.
    """

    threads: int = 1
    devices: int = 1
    nodes: int = 1
    rendezvous: str = ""
    gpus: tuple[str, ...] | None = None

    def command(self, job: Path) -> list[str]:
        """What starts the stage on this machine: torchrun where there are several processes."""
        python, stage = [sys.executable, "-m"], ["pipelines.stage_process", str(job)]
        if self.devices * self.nodes == 1:
            return [*python, *stage]
        meeting = ["--standalone"]
        if self.nodes > 1:
            meeting = [f"--nnodes={self.nodes}", "--rdzv-backend=c10d"]
            meeting += [f"--rdzv-endpoint={self.rendezvous}", f"--rdzv-id={job.parent.name}"]
        torchrun = ["torch.distributed.run", *meeting, f"--nproc-per-node={self.devices}"]
        return [*python, *torchrun, f"--max-restarts={RESTARTS}", "-m", *stage]

    def environment(self) -> dict[str, str]:
        """Variables of the stage's processes."""
        threads = str(self.threads)
        gpus = {} if self.gpus is None else {GPUS: ",".join(self.gpus)}
        return {
            **os.environ,
            **gpus,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "MKL_DYNAMIC": "FALSE",  # it would take no more than there are cores
            SPIN: os.environ.get(SPIN, LOOKS),
            # A store of its own for every start: in a shared one, restarted processes may find the
            # addresses of those before.
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        }


def visible_gpus() -> tuple[str, ...]:
    """The GPUs of this machine that may be used, as `CUDA_VISIBLE_DEVICES` names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(GPUS, "").split(",") if name.strip()]
    return tuple(named[:count] or map(str, range(count)))


def default_devices(slots: int = 1) -> int:
    """A slot's share of this machine's GPUs; one CPU process where there are none."""
    return max(len(visible_gpus()) // slots, 1)


def launch(job: Path, log: Path, resources: Resources, on_event: Callable[[Event], None]) -> None:
    """Run the stage that `job` describes and pass on its events until it ends.

    Args:
        job: JSON for :mod:`pipelines.stage_process`.
        log: file that gets the processes' output.
        resources: what the stage may use.
        on_event: called with each event of progress, metrics or a note, in order.

    Raises:
        UserError: if the stage found a mistake of the user.
        StageInterrupted: after :func:`stop_all`, or if the stage was asked to stop.
        StageFailed: if the process failed otherwise.
    """
    if _stopping.is_set():
        raise StageInterrupted("stopped before its start")
    events = job.with_name(EVENTS)
    events.touch()
    start = events.stat().st_size
    with open(log, "ab") as output:
        process = subprocess.Popen(
            resources.command(job),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=resources.environment(),
        )
    _running.add(process)
    if _stopping.is_set():  # asked for since the start of this function
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
        with deaf():  # a second wish to stop, as of Ray, would leave the children
            stop([process])
        _running.discard(process)
    # A signal that came before the stage heeds them is one to this process or to the stage alone.
    if _stopping.is_set() or -(process.returncode or 0) in SIGNALS:
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
    _stopping.clear()
    try:
        yield
    except BaseException:
        with deaf():
            stop_all()
        raise


def stopping() -> bool:
    """Whether all stages are asked to stop."""
    return _stopping.is_set()


def running() -> list[subprocess.Popen[bytes]]:
    """The processes of the stages that run now."""
    return list(_running)


def stop_all() -> None:
    """Stop every stage's process with all its children; those still to come do not start."""
    _stopping.set()
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


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
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
