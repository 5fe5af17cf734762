"""Seconds that Prefect, MLflow and fingerprints add to a stage; data check and report, to all.

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
from mae_core.config import load_config
from pipelines.cells import run_cell
from pipelines.cells.launch import launch
from pipelines.cli.main import ENVIRONMENT
from pipelines.service.flow import mae_full_benchmark


class Clock:
    """Stands for `launch` and adds up its time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, *arguments: Any) -> None:
        """Launch a stage."""
        begun = time.perf_counter()
        launch(*arguments)
        self.seconds += time.perf_counter() - begun


def timed(recipe: str, folder: Path, **parameters: bool) -> float:
    """Seconds of a benchmark, one stage at a time, that are not those of the stages' processes."""
    clock, begun = Clock(), time.perf_counter()
    with mock.patch.object(run_cell, "launch", clock):
        mae_full_benchmark(recipe, str(folder), strict=True, **parameters)
    return time.perf_counter() - begun - clock.seconds


def write_recipe(folder: Path, task: str, stages: int) -> str:
    """A kNN stage of the row 'random' with that many seeds."""
    path = folder / f"{stages}-stages.py"
    path.write_text(
        f"seed = 0\nslots = 1\npretrain = ''\nencoders = ['random']\n"
        f"tasks = {{'knn': '{task}'}}\nrepeats = {{'knn': {stages}}}\n"
    )
    return str(path)


def start_up() -> float:
    """Seconds until a stage's process has its libraries."""
    begun = time.perf_counter()
    code = "from pipelines.stages import stage_function; stage_function('knn')"
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", nargs=2, type=int, default=[2, 10], metavar=("FEW", "MANY"))
    parser.add_argument("--knn", default=load_config("demo", "benchmarks").tasks["knn"])
    arguments = parser.parse_args()
    few, many = arguments.stages
    os.environ.update(ENVIRONMENT)
    rows: dict[str, list[float]] = {"computed": [], "reused": []}
    with tempfile.TemporaryDirectory() as name, prefect_test_harness(300):
        folder = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        timed(
            write_recipe(folder, arguments.knn, 1), folder / "first"
        )  # makes the tables, loads the modules
        for stages in (few, many):
            recipe, work = write_recipe(folder, arguments.knn, stages), folder / str(stages)
            rows["computed"].append(timed(recipe, work, fresh=True))
            rows["reused"].append(timed(recipe, work))
    print(machine("cpu"))
    print(f"\na stage's process is up after {start_up():.1f} s, before it begins\n")
    print(f"| stages | s around {few} | s around {many} | s a stage | s a benchmark |")
    print("|---|---:|---:|---:|---:|")
    for name, (less, more) in rows.items():
        each = (more - less) / (many - few)
        print(f"| {name} | {less:.1f} | {more:.1f} | {each:.2f} | {less - few * each:.1f} |")


if __name__ == "__main__":
    main()
