"""No command imports what it does not need."""

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest
import typer

from mae_core.stage import Metric, StageResult
from pipelines.cli.main import app
from pipelines.tracking.tracker import Tracker

# Calls the commands one after the other in a process of its own. Its memory is not `ru_maxrss`, as
# Linux counts in what the parent had when it started the process.
CALL = """
import json, re, sys
from pathlib import Path
from pipelines.cli.main import main
codes = []
for line in sys.argv[1:]:
    sys.argv = ["mae-bench", *line.split()]
    try:
        main()
    except SystemExit as end:
        codes.append(end.code)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000
modules = sorted(name for name in sys.modules if "." not in name)
print(json.dumps({"codes": codes, "modules": modules, "peak": peak}))
"""
COMPUTE = {"torch", "torchvision", "timm", "mmcv", "mmdet", "mmseg", "sklearn", "datasets"}
ORCHESTRATE = {"prefect", "optuna", "ray"}
TRACK = {"mlflow", "sqlalchemy", "alembic", "pandas"}
DRAW = {"matplotlib", "jinja2"}


@dataclass(frozen=True)
class Called:
    """What became of the commands.

    Attributes:
        codes: their exit codes.
        modules: the packages that are imported at the end.
        peak: of the process's memory, MB.
    """

    codes: list[int]
    modules: set[str]
    peak: float


def call(*lines: str) -> Called:
    done = subprocess.run(
        [sys.executable, "-c", CALL, *lines], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return Called(found["codes"], set(found["modules"]), found["peak"])


def commands() -> list[str]:
    """All of them: 'run', 'data check', ..."""
    found = []
    for name, command in typer.main.get_command(app).commands.items():
        found.append(name)
        found += [f"{name} {inner}" for inner in getattr(command, "commands", {})]
    return found


def test_help_needs_no_library_but_the_command_lines() -> None:
    names = commands()
    assert len(names) > 20 and "data check" in names
    called = call("--help", *(f"{name} --help" for name in names))
    assert called.codes == [0] * (len(names) + 1)
    assert not called.modules & {*COMPUTE, *ORCHESTRATE, *TRACK, *DRAW}
    assert not called.modules & {"mmengine", "numpy", "scipy", "PIL", "joblib", "psutil"}
    assert called.peak < 80


@pytest.mark.parametrize(
    "command",
    [
        "run dmeo",
        "run demo -o slot=1",
        "run demo -o pretrain.trian_cfg.max_epochs=1",
        "plan dmeo",
        "sweep mask-ratoi",
        "knn knn/vit-micro",
        "detect detect/vit-micro --encoder random",
        "leaderboard kn",
    ],
)
def test_a_wrong_name_or_key_is_told_before_anything_heavy_is_imported(command: str) -> None:
    called = call(command)
    assert called.codes == [2]
    assert not called.modules & {*COMPUTE, *ORCHESTRATE, *TRACK, *DRAW, "scipy"}
    assert called.peak < 120


def test_what_reads_mlflow_back_needs_nothing_that_computes(tracker: Tracker) -> None:
    run_id = tracker.start("knn[mae]", {"stage": "knn", "encoder": "mae"})
    tracker.finish(run_id, StageResult({"knn/top1": Metric(0.5, 0.01)}))
    called = call("leaderboard knn", "compare nothing other")
    assert called.codes == [0, 2]
    assert "mlflow" in called.modules
    assert not called.modules & {*COMPUTE, *ORCHESTRATE, *DRAW, "mmengine"}
    assert called.peak < 400
    assert not call("report nothing").modules & {*COMPUTE, *ORCHESTRATE}
