"""One more line in a recipe adds retrieval to a benchmark."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.recipes.recipe import load_recipe
from pipelines.tracking.tracker import Tracker
from tests.tiny import write_configs, write_images, write_recipe

ROOT = Path(__file__).parents[1]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of two rows and kNN, and the line."""
    folder = write_configs(tmp_path / "configs", write_images(tmp_path / "images", classes=3))
    write_recipe(folder, ("knn",), {"random": None, "pixels": None})
    path = folder / "more.py"
    path.write_text(f"_base_ = 'tiny.py'\ntasks = {{'retrieval': '{folder}/retrieval.py'}}\n")
    return path


def test_a_recipe_has_it_by_one_line(recipe: Path) -> None:
    loaded = load_recipe(str(recipe), ["retrieval.gallery=val", "retrieval.ks=[3]"])
    assert (loaded.tasks, loaded.left_out) == (("knn", "retrieval"), {})
    assert (loaded.configs["retrieval"].gallery, loaded.configs["retrieval"].ks) == ("val", [3])


@pytest.mark.slow
def test_it_is_planned_run_reported_and_compared_in_pairs(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli.main", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    planned = call("plan", str(recipe), "--work-dir", "first")
    assert all(re.search(rf"retrieval .*{row}", planned) for row in ("random", "pixels")), planned
    call("run", str(recipe), "--work-dir", "first")
    alone = f"tasks={{'retrieval': '{recipe.parent}/retrieval.py'}}"
    call(
        "run", str(recipe), "--work-dir", "second", "-o", alone, "-o", "retrieval.standardize=True"
    )
    first = json.loads((tmp_path / "first" / "report" / "report.json").read_text())
    metrics = ("map", "map_at_r", "recall_at_1", "recall_at_2")
    found = {(row["encoder"], row["metric"]) for row in first["rows"] if row["task"] == "retrieval"}
    assert found == {(row, metric) for row in ("random", "pixels") for metric in metrics}
    pairs = {one["metric"]: one for one in first["comparisons"] if one["task"] == "retrieval"}
    assert set(pairs) == set(metrics) and all(one["paired"] for one in pairs.values())
    report = (tmp_path / "first" / "report" / "report.md").read_text()
    assert "Retrieval, mAP" in report and "Retrieval, recall at 1" in report
    uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    runs = sorted(Tracker(uri).find(stage="benchmark"), key=lambda run: run.started)
    words = ["compare", *(run.id for run in runs), "--out", str(tmp_path / "compared")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "compared" / "compare.json").read_text())
    rows = [row for row in content["rows"] if row["task"] == "retrieval"]
    assert len(rows) == 8 and all(row["values"][1]["paired"] for row in rows)
