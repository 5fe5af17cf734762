"""A Prefect server, a worker and MLflow's database of a test's own, as processes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from benchmarks.servers import NO_JOBS, free_port, wait_for
from tests.processes import gone

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
LEASES = "prefect.server.concurrency.lease_storage.filesystem"
PASSWORD = "me:only a test knows it"
FLOW = "mae-full-benchmark/demo"
MARK = "TEST_SERVICES"  # a variable that all processes have, those that stages are forked from too


class Services:
    """What a user of the service starts, in a folder of its own.

    Args:
        folder: for everything that the services keep.
        grace: seconds that a stage has to save its state.
    """

    def __init__(self, folder: Path, grace: float = 10) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port, self.mlflow_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        self.folder = folder
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_API_URL": self.url,
            "PREFECT_API_AUTH_STRING": PASSWORD,
            "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES,
            "PREFECT_WORKER_QUERY_SECONDS": "1",  # it looks for runs, and those to cancel, so often
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            **NO_JOBS,
            "MAE_BENCH_GRACE": str(grace),
            "DO_NOT_TRACK": "true",
            MARK: str(folder),
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Services":
        self.start("server")
        return self

    def __exit__(self, *_: object) -> None:
        if "client" in self.__dict__:
            self.client.__exit__(None, None, None)
        for process in reversed(self.running.values()):
            process.terminate()
            process.wait(60)

    def start(self, name: str) -> None:
        """Start 'server', 'worker' or 'mlflow', unless it runs; servers answer afterwards."""
        if name in self.running and self.running[name].poll() is None:
            return
        tracking = ["--backend-store-uri", self.environment["MLFLOW_TRACKING_URI"]]
        port = ["--port", str(self.mlflow_port)]
        commands = {
            "server": ["prefect", "server", "start"],
            "worker": ["mae-bench", "worker"],
            "mlflow": ["mlflow", "server", *tracking, "--workers", "1", *port],
        }
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                commands[name],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if name == "server":
            wait_for(f"{self.url}/health")
        if name == "mlflow":
            wait_for(f"http://127.0.0.1:{self.mlflow_port}/health")

    def run(self, *command: str, code: int = 0) -> str:
        """What a command printed; it must end with `code`."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == code, done.stdout[-4000:]
        return done.stdout

    @cached_property
    def client(self) -> SyncPrefectClient:
        """Of the server, open until the end: another one takes a tenth of a second each."""
        with temporary_settings({PREFECT_API_URL: self.url, PREFECT_API_AUTH_STRING: PASSWORD}):
            return get_client(sync_client=True).__enter__()

    def submit(self, **parameters: object) -> FlowRun:
        """A new flow run of the deployment."""
        deployment = self.client.read_deployment_by_name(FLOW)
        return self.client.create_flow_run_from_deployment(deployment.id, parameters=parameters)

    def wait(self, run: FlowRun, seconds: float = 300) -> FlowRun:
        """The flow run when it has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.ended(run):
                return self.read(run)
            time.sleep(1)
        raise AssertionError(f"{run.name} has not ended: {self.read(run).state}")

    def ended(self, run: FlowRun) -> bool:
        """Whether the flow run has a final state."""
        state = self.read(run).state
        return state is not None and state.is_final()

    def read(self, run: FlowRun) -> FlowRun:
        """The flow run as it is now."""
        return self.client.read_flow_run(run.id)

    def found(self, name: str) -> list[int]:
        """Processes of a 'server', 'worker', 'flow' or 'stage' of these services."""
        words = {
            "server": [b"prefect\0server\0start"],
            "worker": [b"prefect\0worker\0start"],
            "flow": [b"prefect.engine"],
            "stage": [b"pipelines.cells.stage_process", b"pipelines.cells.warm_start"],
        }
        mine = f"{MARK}={self.folder}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                ours = mine in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if ours and any(word in command for word in words[name]) and not gone(int(entry.name)):
                found.append(int(entry.name))
        return found

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> bool:
        """Send every process of a kind a signal; whether there was one."""
        found = self.found(name)
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if name in self.running:
            self.running[name].wait(60)
        return bool(found)
