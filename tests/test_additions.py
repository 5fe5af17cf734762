"""Somebody else's package adds a task, a method and an encoder to a whole benchmark."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages import write_metadata
from tests.tiny import write_configs, write_images

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
POINTS = """
[mae_bench.stages]
toys = mae_bench_toys.card
[mae_bench.encoders]
toys = mae_bench_toys.encoder
[mae_bench.methods]
toys = mae_bench_toys.method
"""
TOYS = """
_base_ = '{base}'
custom_imports = dict(
    imports=['tests.faults', 'mae_bench_toys.encoder', 'mae_bench_toys.method']
)
encoder = dict(_delete_=True, arch='toy-small', img_size=12, in_chans=3)
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the package as an installer leaves it."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "tests" / "toys" / "mae_bench_toys", site / "mae_bench_toys")
    write_metadata(site, "mae-bench-toys", POINTS)
    return site


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Two pretrainings of the toy encoder by the toy method, and random weights, in two tasks."""
    folder = write_configs(tmp_path / "configs", write_images(tmp_path / "images"))
    for stage, more in (
        ("pretrain", "method = 'mean_colour'\nmean_colour = dict(weight=2.0)\n"),
        ("knn", "pool = 'avg'\n"),
        ("brightness", "stage = 'brightness'\npool = 'avg'\n"),
    ):
        base = folder / f"{'knn' if stage == 'brightness' else stage}.py"
        (folder / f"toy_{stage}.py").write_text(TOYS.format(base=base) + more)
    pretrain = folder / "toy_pretrain.py"
    heavier = folder / "toy_heavier.py"
    heavier.write_text(f"_base_ = '{pretrain}'\nmean_colour = dict(weight=4.0)\n")
    tasks = {task: str(folder / f"toy_{task}.py") for task in ("knn", "brightness")}
    path = folder / "toys.py"
    path.write_text(
        "seed = 0\nslots = 2\n"
        f"encoders = dict(colour='{pretrain}', heavier='{heavier}', random=None)\n"
        f"tasks = {tasks}\n"
    )
    return path


def test_a_package_adds_a_task_a_method_and_an_encoder_touching_nothing_else(
    installed: Path, recipe: Path, tmp_path: Path
) -> None:
    def call(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli.main", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{installed}", "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    assert "Tell how bright an image is from frozen features." in call("--help")
    shown = call("plan", str(recipe), "--work-dir", "work")
    assert all(name in shown for name in ("brightness", "colour", "heavier", "random"))
    call("run", str(recipe), "--work-dir", "work")
    rows = json.loads((tmp_path / "work" / "report" / "report.json").read_text())["rows"]
    found = {(row["encoder"], row["task"], row["metric"]) for row in rows}
    assert found == {
        (row, task, metric)
        for row in ("colour", "heavier", "random")
        for task, metric in (("knn", "top1"), ("brightness", "rmse"))
    }
    report = (tmp_path / "work" / "report" / "report.md").read_text()
    assert "Brightness, RMSE (of 255, not percent)" in report
    values = {row["encoder"]: row["value"] for row in rows if row["task"] == "brightness"}
    assert f"{values['colour']:.2f}" in report  # as it is, not in percent
    board = call("leaderboard", "brightness")
    places = [board.index(name) for name in sorted(values, key=lambda name: values[name])]
    assert places == sorted(places), "the lowest error comes first"
