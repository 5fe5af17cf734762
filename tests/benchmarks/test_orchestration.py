import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import write_configs, write_images, write_recipe

ROOT = Path(__file__).parents[2]


def test_the_time_around_stages_is_what_their_processes_leave(tmp_path: Path) -> None:
    configs = write_configs(tmp_path / "configs", write_images(tmp_path / "data"))
    recipe = write_recipe(configs, ("knn",), ("random",))
    command = ["-m", "benchmarks.orchestration", "--recipe", str(recipe), "--tasks", "knn"]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("| 1,")]
    computed, reused = ([float(cell) for cell in line.split("|")[2:5]] for line in lines)
    for seconds, processes, around in (computed, reused):
        assert around == pytest.approx(seconds - processes, abs=0.11)
    assert computed[1] > 0 and reused[1] == 0
