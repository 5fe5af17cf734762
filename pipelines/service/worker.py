"""A Prefect worker whose flow runs stop first when it is asked to stop, and save their state.

Prefect's own worker kills them.
"""

import subprocess
import sys
from contextlib import suppress

import psutil

from pipelines.stopping import ignoring_signals, raise_when_asked


def work(pool: str) -> int:
    """Run a work pool's flow runs in the current folder until it is asked to stop; the exit code.

    That is Ctrl-C, SIGTERM, or the end of its terminal.
    """
    raise_when_asked()  # SIGINT too, which a shell's background jobs ignore
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    worker = subprocess.Popen(command, process_group=0)  # Ctrl-C reaches this process alone
    try:
        return worker.wait()
    except KeyboardInterrupt:
        with ignoring_signals():
            stop(worker)
            return worker.wait()


def stop(worker: "subprocess.Popen[bytes]") -> None:
    """Ask each flow run to stop, wait for it, then stop the worker."""
    asked: set[psutil.Process] = set()
    with suppress(psutil.NoSuchProcess):  # the worker itself has ended
        while flow_runs := psutil.Process(worker.pid).children():
            for flow_run in set(flow_runs) - asked:
                with suppress(psutil.NoSuchProcess):
                    flow_run.terminate()
            asked.update(flow_runs)
            psutil.wait_procs(flow_runs, timeout=1)
    worker.terminate()
