"""What tracking costs training steps, with an MLflow server that answers and one that is killed.

python -m benchmarks.tracking
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks.measure import machine
from benchmarks.servers import MLflowServer
from pipelines.events import follow
from pipelines.tracking.delivery import Delivery
from pipelines.tracking.tracker import Tracker

METRICS = ("loss", "lr", "grad_norm", "images_per_second", "memory")
TRAINING = """
import sys, time, torch
from pathlib import Path
from pipelines.events import FileReporter
steps, seconds, path = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
reporter = FileReporter(Path(path)) if path else None
matrix = torch.randn(512, 512)
def work(rounds):
    for _ in range(rounds):
        matrix @ matrix
work(100)
begun = time.perf_counter()
work(100)
rounds = max(int(100 * seconds / (time.perf_counter() - begun)), 1)
working = tracking = 0.0
for step in range(steps):
    begun = time.perf_counter()
    work(rounds)
    worked = time.perf_counter()
    if reporter:
        reporter.log(dict.fromkeys(sys.argv[4:], float(step)), step)
    working += worked - begun
    tracking += time.perf_counter() - worked
print(working / steps / rounds, tracking / working)
"""


def train(steps: int, seconds: float, events: str = "") -> "subprocess.Popen[bytes]":
    """A process of steps that take about `seconds` and are told to a file, if one is named."""
    arguments = [str(steps), str(seconds), events, *METRICS]
    return subprocess.Popen([sys.executable, "-c", TRAINING, *arguments], stdout=subprocess.PIPE)


def figures(process: "subprocess.Popen[bytes]") -> tuple[float, float]:
    """Seconds for a fixed piece of work, and what tracking adds to a step as a share of it."""
    assert process.stdout is not None
    work, share = process.stdout.read().split()
    return float(work), float(share)


def tracked(server: MLflowServer, steps: int, seconds: float, outage: float) -> tuple[float, float]:
    """The figures of steps that are sent to the server, which is killed for `outage` seconds.

    Raises:
        RuntimeError: if a step is lost or doubled.
    """
    tracker = Tracker(server.url)
    run_id = tracker.start("training", {})
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        events.touch()
        process = train(steps, seconds, str(events))
        if outage:
            server.kill()
            threading.Timer(outage, server.start).start()
        with Delivery(tracker, run_id) as points:
            for event in follow(events, 0, process):
                points.add(event)
    found = [point.step for point in tracker.client.get_metric_history(run_id, METRICS[0])]
    if found != list(range(steps)):
        raise RuntimeError(f"{len(found)} points of {steps} steps arrived")
    return figures(process)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=0.1, help="of a step")
    parser.add_argument("--outage", type=float, default=30.0, help="seconds without a server")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    steps, seconds = arguments.steps, arguments.seconds
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    kinds = {"bare": None, "tracked": 0.0, "server killed": arguments.outage}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory() as folder:
        server = MLflowServer(folder)
        try:
            for _ in range(arguments.rounds):
                for name, outage in kinds.items():
                    bare = outage is None
                    one = figures(train(steps, seconds)) if bare else ()
                    found[name].append(one or tracked(server, steps, seconds, outage or 0.0))
        finally:
            server.kill()
    print(machine("cpu"))
    print("\n| steps | tracking, of a step's time | speed | in the rounds |\n|---|---:|---:|---:|")
    for name, figured in found.items():
        speeds = [bare / own for (bare, _), (own, _) in zip(found["bare"], figured, strict=True)]
        share = statistics.median(share for _, share in figured)
        print(
            f"| {name} | {share:.3%} | {statistics.median(speeds):.3f}× "
            f"| {min(speeds):.3f} to {max(speeds):.3f} |"
        )


if __name__ == "__main__":
    main()
