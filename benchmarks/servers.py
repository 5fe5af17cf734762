"""Servers of a measurement's or a test's own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

# Eight processes for evaluations of language models: half of what a server's start takes.
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class MLflowServer:
    """MLflow's server on SQLite in a folder; can be killed and started again.

    Args:
        folder: for what it keeps.
        options: further ones of `mlflow server`.
    """

    def __init__(self, folder: Path | str, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--workers", "1"]
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port)]
        self.command = [*command, *store, *options]
        self.folder = folder
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env={**os.environ, **NO_JOBS},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(f"{self.url}/health")

    def kill(self) -> None:
        """Kill it with all its workers, unless it was."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(url: str, seconds: float = 120) -> None:
    """Return once the server answers. Raises TimeoutError if it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except OSError:  # refused, or not answered in time
            time.sleep(0.5)
    raise TimeoutError(f"{url} does not answer")
