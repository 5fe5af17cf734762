"""The order in which a worker and its flow runs stop, with a stand-in for Prefect's worker."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
FLOW_RUN = """
import signal, time
def save(*_):
    time.sleep(0.5)
    print("flow run saved", flush=True)
    raise SystemExit
signal.signal(signal.SIGTERM, save)
print("running", flush=True)
while True:
    time.sleep(1)
"""
WORKER = f"""
import signal, subprocess, sys
def stop(*_):
    print("worker stopped", flush=True)
    raise SystemExit
signal.signal(signal.SIGTERM, stop)
print(*sys.argv[1:], flush=True)
subprocess.Popen([sys.executable, "-c", {FLOW_RUN!r}], start_new_session=True).wait()
while True:
    signal.pause()
"""


def test_flow_runs_save_their_state_before_the_worker_stops(tmp_path: Path) -> None:
    (tmp_path / "prefect.py").write_text(WORKER)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli.main", "worker", "--pool", "mine"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    started = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGTERM)
    stopped, _ = process.communicate()
    assert started == ["worker start --pool mine\n", "running\n"]
    assert stopped == "flow run saved\nworker stopped\n"
    assert process.returncode == 0
