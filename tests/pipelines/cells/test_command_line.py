import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from mae_core.data.roots import DATA
from pipelines.cells.command_line import LIMIT, command_line
from pipelines.cli.main import main
from pipelines.recipes.single import run_single
from pipelines.service.flow import mae_full_benchmark
from pipelines.tracking.tracker import Tracker
from tests.services import BIN
from tests.tiny import write_recipe


def run_again(command: str) -> None:
    path = f"{BIN}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_benchmarks_command_gives_the_same_results_from_mlflow(
    prefect: None, configs: Path, images: Path, tracker: Tracker, tmp_path: Path
) -> None:
    recipe = write_recipe(configs, ("knn", "few-shot"), ("mae", "random"))
    config = configs / "knn.py"
    config.write_text(config.read_text().replace(str(images), "below"))
    (tmp_path / "the root").mkdir()
    (tmp_path / "the root" / "below").symlink_to(images)
    mae_full_benchmark(
        str(recipe),
        str(tmp_path / "work"),
        ["knn.k=1", "knn.more_k=(2, 4)"],
        encoders=["random"],
        tasks=["knn"],
        seed=5,
        data_root=str(tmp_path / "the root"),
    )
    first, stage = sorted(tracker.find(), key=lambda run: run.started)
    command = first.command
    assert stage.command == command
    run_again(command)
    copy, again = tracker.find()[:2]
    if not copy.reused_from:
        copy, again = again, copy
    assert copy.reused_from == stage.id
    assert again.command == command
    assert len(tracker.find()) == 4
    assert command in (tmp_path / "runs" / "tiny" / "report" / "report.md").read_text()


def test_a_stages_command_is_reused_too(
    configs: Path, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = run_single("knn", str(configs / "knn.py"), "random", None, ["k=2"])
    command = tracker.get(outcome.run_id).command
    assert shlex.split(command)[-2:] == ["-o", "k=2"]
    shutil.rmtree("runs")
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert [run.id for run in tracker.find()] == [outcome.run_id]
    assert list(Path("runs/knn/stages").glob("knn-random-*/result.json"))


def test_words_that_a_shell_would_change_are_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA, "/my data")
    line = command_line("knn", "a b.py", overrides=["x=['a', \"b\"]"], devices=2)
    assert shlex.split(line) == [
        *(f"{DATA}=/my data", "mae-bench", "knn", "a b.py"),
        *("-o", "x=['a', \"b\"]", "--devices", "2"),
    ]


def test_a_line_that_mlflow_would_cut_is_not_kept() -> None:
    assert command_line("run", "demo", overrides=[f"seed={'1' * LIMIT}"]) == ""
