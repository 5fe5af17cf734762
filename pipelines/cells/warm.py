"""Starting a stage's process: forked where that is quicker, else anew."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from pipelines.cells.resources import Resources
from pipelines.cells.warm_start import LONGEST

GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd")  # a process that has seen a GPU cannot be forked
SERVER = "pipelines.cells.warm_start"
# Variables, by their beginning, that no library reads when it is imported: stages get their own.
READ_LATER = ("MAE_BENCH_", "MLFLOW_", "PREFECT_")


class Process(Protocol):
    """What is used of a :class:`subprocess.Popen`."""

    pid: int
    stdin: IO[bytes] | None
    returncode: int | None

    def poll(self) -> int | None:
        """The exit code, None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one. Raises subprocess.TimeoutExpired."""


class ForkedProcess:
    """A stage that :mod:`pipelines.cells.warm_start` forked; its standard input is a pipe.

    Args:
        answer: on which the id of the process comes first, then its exit code.
        stdin: the pipe's end. The stage ends when it is closed.
    """

    stdin: IO[bytes] | None
    returncode: int | None

    def __init__(self, answer: socket.socket, stdin: IO[bytes]) -> None:
        self._answer, self.stdin = answer, stdin
        self._lock = threading.Lock()  # the code comes once, and several threads may wait for it
        self.returncode = None
        self.pid = int(answer.recv(32))

    def poll(self) -> int | None:
        """See :class:`Process`."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """See :class:`Process`."""
        if self.returncode is None and not select.select([self._answer], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(SERVER, timeout or 0)
        with self._lock:
            if self.returncode is None:
                self.returncode = self._exit_code()
        return self.returncode

    def _exit_code(self) -> int:
        code = self._answer.recv(32)
        if not code:  # who forked it was killed, and cannot tell how it ends
            with suppress(ProcessLookupError):
                handle = os.pidfd_open(self.pid)
                os.killpg(self.pid, signal.SIGKILL)
                select.select([handle], [], [])
                os.close(handle)
        return int(code or -signal.SIGKILL)


class Warm:
    """A process that has the libraries, and forks stages with the environment it began with."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", SERVER, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=self.environment,
            )

    def fork(self, job: Path, log: IO[bytes], variables: Mapping[str, str]) -> ForkedProcess:
        """A stage's process, in the current folder.

        Args:
            job: for :mod:`pipelines.cells.stage_process`.
            log: gets its output.
            variables: of its environment, besides those that this process began with.

        Raises:
            OSError, ValueError: if this process is gone, or cannot be told so much.
        """
        request = json.dumps([str(job), os.getcwd(), dict(variables)]).encode()
        if len(request) > LONGEST:
            raise ValueError(f"a request of {len(request)} bytes")
        answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe()
        stdin = os.fdopen(write, "wb", buffering=0)
        try:
            files = [read, log.fileno(), theirs.fileno()]
            socket.send_fds(self.requests, [request], files)
        finally:
            theirs.close()
            os.close(read)
        return ForkedProcess(answer, stdin)

    def close(self) -> None:
        """No more stages; the process ends with the last one."""
        self.requests.close()


class _Offer:
    """What blocks of :func:`forking` share."""

    blocks = 0
    warm: Warm | None = None
    lock = threading.Lock()


@contextmanager
def forking() -> Iterator[None]:
    """In the block, which starts several stages, those that can be are forked.

    After an error stages may still run, and whoever stops them must come to do it: then the end of
    the process that forked them is not waited for.
    """
    warm = None
    with _Offer.lock:
        _Offer.blocks += 1
    try:
        yield
    finally:
        with _Offer.lock:
            _Offer.blocks -= 1
            if not _Offer.blocks:
                warm, _Offer.warm = _Offer.warm, None
        if warm:
            warm.close()
    if warm:
        warm.process.wait()


def start(job: Path, log: IO[bytes], resources: Resources) -> Process:
    """A stage's process, in a session of its own.

    Args:
        job: for :mod:`pipelines.cells.stage_process`.
        log: gets its output.
        resources: what it may use.
    """
    environment = resources.environment()
    later = {name: value for name, value in environment.items() if name.startswith(READ_LATER)}
    warm = offered(dict(environment.items() - later.items()), resources)
    if warm:
        with suppress(OSError, ValueError):  # it was killed: others are, too
            return warm.fork(job, log, later)
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": log, "stderr": subprocess.STDOUT}
    command = resources.command(job)
    return subprocess.Popen(command, start_new_session=True, env=environment, **options)


def offered(environment: Mapping[str, str], resources: Resources) -> Warm | None:
    """The process to fork from, begun with this environment; None where it is no use.

    Libraries read variables when they are imported: after a change of one they are imported anew.
    """
    alone = resources.devices * resources.nodes == 1
    if not alone or sys.platform != "linux" or any(map(os.path.exists, GPU_DRIVERS)):
        return None
    with _Offer.lock:
        if not _Offer.blocks:
            return None
        warm = _Offer.warm
        if warm and (warm.environment != environment or warm.process.poll() is not None):
            warm.close()
            warm = None
        _Offer.warm = warm or Warm(environment)
        return _Offer.warm
