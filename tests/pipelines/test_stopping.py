"""Wishes to stop, from the first moment of a command on, and from a terminal that closes."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.stopping import SIGNALS
from pipelines.tracking.tracker import Tracker
from tests.faults import arm
from tests.processes import gone, wait_for

COMMAND = [sys.executable, "-m", "pipelines.cli.main"]
# Stands in for an import that takes long: the name of the first module that the command line needs.
SLOW = "import os, time\nopen(os.environ['READY'], 'w').close()\ntime.sleep(60)\n"


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_during_the_imports_is_an_interruption(
    number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "typer.py").write_text(SLOW)
    ready = tmp_path / "ready"
    path = f"{tmp_path}:{os.environ['PYTHONPATH']}"
    variables = {**os.environ, "PYTHONPATH": path, "READY": str(ready)}
    process = subprocess.Popen(
        [*COMMAND, "run", "demo"], env=variables, stderr=subprocess.PIPE, text=True
    )
    wait_for(ready.exists)
    process.send_signal(number)
    said = process.communicate()[1]
    assert (process.returncode, said) == (
        75,
        "interrupted; run the same command again to continue\n",
    )


def test_a_closed_terminal_is_an_interruption_with_its_state_saved(
    configs: Path, tracker: Tracker
) -> None:
    arm(configs / "pretrain.fault", "hang", 9)
    hangs = configs / "pretrain.hangs"
    terminal, its = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "pretrain", str(configs / "pretrain.py")],
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # its terminal
    )
    os.close(its)
    wait_for(lambda: hangs.exists() and bool(hangs.read_text()))
    os.close(terminal)  # the kernel sends SIGHUP, and every write fails
    assert process.wait(60) == 75
    assert all(gone(int(pid)) for pid in hangs.read_text().split())
    (run,) = tracker.client.search_runs([tracker.experiment])
    assert run.info.status == "KILLED"


def test_a_command_under_nohup_goes_on(tmp_path: Path) -> None:
    script = (
        "import time; from pipelines.stopping import raise_when_asked; raise_when_asked()\n"
        "print('ready', flush=True); time.sleep(0.5); print('went on')"
    )
    process = subprocess.Popen(
        ["nohup", sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate()[0] == "went on\n" and process.returncode == 0


SERVER = """
import time
from pipelines.service.temporary_server import use_ours
use_ours()
from prefect.server.api.server import SubprocessASGIServer
server = SubprocessASGIServer()
server.port = server.find_available_port()
print(server._run_uvicorn_command().pid, flush=True)
time.sleep(60)
"""


def test_the_temporary_server_ends_with_a_flow_that_was_killed(tmp_path: Path) -> None:
    variables = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    flow = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, env=variables)
    server = int(flow.stdout.readline())
    time.sleep(0.2)
    assert not gone(server)
    flow.kill()
    flow.wait()
    wait_for(lambda: gone(server))
