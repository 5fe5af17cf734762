"""Errors in a unit of the data, of which less is better, and what has no value."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from downstream.classification.metrics import resampled
from downstream.classification.number_metrics import NUMBER_METRICS
from downstream.outcomes import save_outcomes
from downstream.statistics import over_resamples
from mae_core.config import load_config
from mae_core.stage import Metric, StageResult
from pipelines.report.compare import compare
from pipelines.report.leaderboard import leaderboard
from pipelines.report.write import write_report
from pipelines.tracking.tracker import Tracker

KNN = "knn/vit-micro-p6_k20_demo"
DATA = '{"demo/classification/train": "aaaa", "demo/classification/test": "bbbb"}'
NOISE = {"mae": 4.0, "random": 6.0, "pixels": 5.0}  # of the answers, in pixels
CONSTANT = "pixels"  # whose answers have no correlation
IMAGES = 300


def regression(tracker: Tracker, folder: Path, shift: float = 0.0, unit: str = "px") -> str:
    """The id of a benchmark that tells a number of images, with what it measures stored."""
    rng = np.random.default_rng(0)
    truth = 40 + 10 * rng.normal(size=(IMAGES, 1))
    parent = tracker.start("tiny", {"recipe": "tiny", "stage": "benchmark"})
    cells = {}
    config = load_config(KNN)
    folder.mkdir()
    config.dump(str(folder / "config.py"))
    for encoder, noise in NOISE.items():
        answers = truth + (noise + shift) * rng.normal(size=truth.shape)
        if encoder == CONSTANT:
            answers = np.full_like(truth, 40 + 0.01)
        metrics, outcomes = {}, {}
        for name, of in NUMBER_METRICS.items():
            outcome = resampled(of(answers, truth), IMAGES)
            found = over_resamples(outcome)
            own = unit if name in ("mae", "rmse") else ""
            outcomes[f"knn/{name}"] = outcome
            metrics[f"knn/{name}"] = Metric(found.value, found.ci95, own)
        tags = {"stage": "knn", "encoder": encoder, "seed": "0", "data": DATA, "recipe": "tiny"}
        cells[f"knn[{encoder}]"] = tracker.start(f"knn[{encoder}]", tags, parent)
        tracker.artifact(cells[f"knn[{encoder}]"], folder / "config.py")
        result = StageResult(metrics, artifacts=save_outcomes(folder, outcomes))
        tracker.finish(cells[f"knn[{encoder}]"], result)
    tracker.tag(parent, cells=json.dumps(cells), encoders=json.dumps([*NOISE]))
    tracker.end(parent, "FINISHED")
    return parent


def strictly(path: Path) -> dict[str, Any]:
    """JSON, which has neither nan nor infinity."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(path.read_text(), parse_constant=refuse)


def test_less_is_better_in_the_report_and_units_stand_behind_the_numbers(
    tracker: Tracker, tmp_path: Path
) -> None:
    table = write_report(regression(tracker, tmp_path / "one"), tracker, tmp_path)
    content = strictly(tmp_path / "report.json")
    rows = {(row["encoder"], row["metric"]): row for row in content["rows"]}
    assert rows["mae", "mae"]["unit"] == "px" and "unit" not in rows["mae", "r2"]
    verdicts = {(c["baseline"], c["metric"]): c["verdict"] for c in content["comparisons"]}
    assert {verdicts["random", name] for name in NUMBER_METRICS} == {"better"}
    apart = next(c for c in content["comparisons"] if c["metric"] == "mae")
    assert apart["difference"] < 0 and apart["high"] < 0 and apart["unit"] == "px"
    assert content["encoders"]["mae"]["mean_rank"] == 1
    shown = [row for row in table.splitlines() if row.startswith(("| row (%)", "| mae |"))]
    head, line = shown[-2:]
    assert "mean absolute error (not percent)" in head and "R² (at most 1, not percent)" in head
    value = rows["mae", "mae"]["value"]
    assert f"**{value:.1f} ± " in line or f"**{value:.2f} ± " in line
    assert " px**" in line
    page = (tmp_path / "report.html").read_text()
    assert f"{100 * value:.1f}" not in page and " px ▲" in page


def test_what_has_no_value_is_said_and_neither_ranked_nor_compared(
    tracker: Tracker, tmp_path: Path
) -> None:
    table = write_report(regression(tracker, tmp_path / "one"), tracker, tmp_path)
    content = strictly(tmp_path / "report.json")
    row = next(r for r in content["rows"] if (r["encoder"], r["metric"]) == (CONSTANT, "spearman"))
    assert row["value"] is None and "no value" in table and "nan" not in table
    compared = [(c["baseline"], c["metric"]) for c in content["comparisons"]]
    assert (CONSTANT, "spearman") not in compared and (CONSTANT, "mae") in compared
    ranks = {name: known["mean_rank"] for name, known in content["encoders"].items()}
    assert ranks["mae"] < ranks["random"] < ranks[CONSTANT]


def test_a_leaderboard_of_errors_begins_with_the_least_and_ends_with_no_value(
    tracker: Tracker, tmp_path: Path
) -> None:
    regression(tracker, tmp_path / "one")
    text = StringIO()
    console = Console(file=text, width=200)
    (board,) = leaderboard("knn/mae", tracker, console)
    values = [place.row.value for place in board.places]
    assert values == sorted(values) and " px" in text.getvalue()
    (board,) = leaderboard("knn/spearman", tracker, console)
    assert [place.row.encoder for place in board.places] == ["mae", "random", CONSTANT]
    assert "no value" in text.getvalue()


@pytest.mark.parametrize("unit", ["px", "mm"])
def test_benchmarks_are_compared_in_the_same_unit_alone(
    unit: str, tracker: Tracker, tmp_path: Path
) -> None:
    first = regression(tracker, tmp_path / "one")
    second = regression(tracker, tmp_path / "two", shift=3.0, unit=unit)
    compare([first, second], tracker, tmp_path, Console(file=StringIO(), width=200))
    lines = {(x["encoder"], x["metric"]): x for x in strictly(tmp_path / "compare.json")["rows"]}
    found = lines["mae", "mae"]["values"][1]
    shown = (tmp_path / "compare.md").read_text()
    assert lines["mae", "r2"]["values"][1]["verdict"] == "worse"
    if unit == "px":
        assert found["verdict"] == "worse" and found["difference"] > 1 and found["paired"]
        assert " px (" in shown
    else:
        assert found["difference"] is None and found["about"] == "another unit"
        assert "another unit" in shown and " mm " in shown
    assert lines[CONSTANT, "spearman"]["values"][1]["value"] is None and "no value" in shown
