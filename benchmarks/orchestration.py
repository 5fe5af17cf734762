"""Seconds that Prefect, MLflow, fingerprints and the report add to a stage.

python -m benchmarks.orchestration
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from prefect.testing.utilities import prefect_test_harness

from benchmarks.measure import machine
from pipelines import cell
from pipelines.cli import ENVIRONMENT
from pipelines.flow import mae_full_benchmark
from pipelines.launch import launch


class Clock:
    """Stands for `launch` and adds up its time."""

    def __init__(self) -> None:
        self.seconds, self.stages = 0.0, 0

    def __call__(self, *arguments: Any) -> None:
        """Launch a stage."""
        begun = time.perf_counter()
        launch(*arguments)
        self.seconds += time.perf_counter() - begun
        self.stages += 1


def timed(recipe: str, tasks: list[str], folder: str) -> tuple[float, Clock]:
    """Seconds of a benchmark of the row 'random', one stage at a time, and of its processes."""
    clock, begun = Clock(), time.perf_counter()
    with mock.patch.object(cell, "launch", clock):
        mae_full_benchmark(
            recipe, folder, ["slots=1"], encoders=["random"], tasks=tasks, strict=True
        )
    return time.perf_counter() - begun, clock


def start_up() -> float:
    """Seconds until a stage's process has its libraries."""
    begun = time.perf_counter()
    code = "from pipelines.stages import stage_function; stage_function('knn')"
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--tasks", nargs="+", default=["linear-probe", "knn", "few-shot"])
    arguments = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as folder, prefect_test_harness():
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        work = str(Path(folder) / "work")
        rows = {
            name: timed(arguments.recipe, arguments.tasks, work) for name in ("computed", "reused")
        }
    print(machine("cpu"))
    print(f"\na stage's process is up after {start_up():.1f} s, before it begins\n")
    print("| stages | s in all | s in their processes | s around a stage |")
    print("|---|---:|---:|---:|")
    for name, (seconds, clock) in rows.items():
        around = (seconds - clock.seconds) / len(arguments.tasks)
        print(
            f"| {len(arguments.tasks)}, {name} | {seconds:.1f} | {clock.seconds:.1f} "
            f"| {around:.1f} |"
        )


if __name__ == "__main__":
    main()
