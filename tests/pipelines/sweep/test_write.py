import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from mae_core.stage import Metric
from pipelines.cli.main import app
from pipelines.sweep.collect import SWEEP, TRIAL
from pipelines.sweep.figures import label
from pipelines.sweep.write import write_sweep
from pipelines.tracking.tracker import Tracker
from tests.browser import CHROMIUM, DESKTOP, PHONE, browser, opened, overflows

NAMES = {
    "pretrain.mae.mask_ratio": "mask_ratio",
    "pretrain.mae.masking": "masking",
    "seed": "seed",
}


@pytest.fixture
def sweep(tracker: Tracker) -> str:
    """A sweep in which the ratio decides, a pruned trial of it, and one that failed."""
    tags = {"stage": SWEEP, "recipe": "tiny-sweep", "benchmark": "tiny", "goal": "knn/top1"}
    run = tracker.start("tiny-sweep", {**tags, "names": json.dumps(NAMES), "command": "mae-bench"})
    for ratio, masking, seed in product((0.25, 0.5, 0.75), ("random", "block"), (0, 1)):
        trial = start(tracker, run, (ratio, masking, seed))
        value = 0.9 - abs(ratio - 0.5) + 0.01 * (masking == "random") + 0.002 * seed
        measured = {"knn/top1": value, "knn/top1_ci95": 0.02, "pretrain/loss": ratio}
        tracker.points(trial, {**measured, "pruning/value": 0.99}, 0)
        tracker.end(trial, "FINISHED")
    pruned, failed = (start(tracker, run, (ratio, "random", 0)) for ratio in (0.1, 0.99))
    tracker.tag(pruned, pruned="after 25 % of its training, loss 0.9")
    tracker.end(pruned, "FINISHED")
    tracker.tag(failed, error="the device is gone: <cuda & co> " + "x" * 300)
    tracker.end(failed, "FAILED")
    tracker.end(run, "FAILED")
    return run


def start(tracker: Tracker, run: str, values: tuple[Any, ...]) -> str:
    named = json.dumps(dict(zip(NAMES, values, strict=True)))
    return tracker.start(str(values), {"stage": TRIAL, "values": named}, run)


def test_the_best_values_are_those_of_the_best_mean_and_the_ratio_explains_most(
    sweep: str, tracker: Tracker, tmp_path: Path
) -> None:
    markdown = write_sweep(sweep, tracker, tmp_path / "report")
    content = json.loads((tmp_path / "report" / "sweep.json").read_text())
    assert content["best"]["values"] == {"mask_ratio": 0.5, "masking": "random"}
    assert content["best"]["value"] == pytest.approx(0.911)
    assert "**mask_ratio=0.5, masking=random: 91.1** (kNN, top-1), on the very images" in markdown
    weights = content["importance"]
    assert max(weights, key=weights.get) == "mask_ratio" and weights["mask_ratio"] > 0.8
    assert sum(weights.values()) == pytest.approx(1)
    states = [one["state"] for one in content["trials"]]
    assert (len(states), states[0], states[-1]) == (14, "pruned", "failed")
    assert "| 0.1 | random | 0 | – | pruned: after 25 % of its training, loss 0.9 |" in markdown
    with Image.open(tmp_path / "report" / "curves.png") as picture:
        assert picture.width > picture.height  # a panel for each parameter but the seed


def test_the_least_error_wins_in_its_unit_and_a_trial_without_a_value_does_not(
    tracker: Tracker, tmp_path: Path
) -> None:
    tags = {"stage": SWEEP, "recipe": "tiny-sweep", "benchmark": "tiny", "goal": "knn/mae"}
    run = tracker.start("tiny-sweep", {**tags, "names": json.dumps(NAMES), "command": "mae-bench"})
    for ratio, value in ((0.25, 14.0), (0.5, 12.34), (0.75, float("nan"))):
        trial = start(tracker, run, (ratio, "random", 0))
        tracker.metrics(trial, {"knn/mae": Metric(value, 0.41, "px")})
        tracker.end(trial, "FINISHED")
    tracker.end(run, "FINISHED")
    markdown = write_sweep(run, tracker, tmp_path)
    assert "mask_ratio=0.5, masking=random: 12.3 px**" in markdown
    assert "| 0.25 | random | 0 | 14.0 ± 0.4 px |" in markdown
    assert "| 0.75 | random | 0 | no value |" in markdown
    assert "mean absolute error (not percent)" in markdown
    trials = json.loads((tmp_path / "sweep.json").read_text())["trials"]
    assert [one["metrics"]["knn/mae"] for one in trials] == [14.0, 12.34, None]
    assert label("knn/mae", "px") == "kNN,\nmean absolute error (px)"
    assert label("knn/top1") == "kNN,\ntop-1 (%)"


def test_a_winner_that_was_not_yet_tested_on_other_images_has_no_interval(
    sweep: str, tracker: Tracker, tmp_path: Path
) -> None:
    tracker.tag(sweep, selection="other")
    markdown = write_sweep(sweep, tracker, tmp_path)
    assert "masking=random: 91.1** (kNN, top-1) on the images that chose it, which is" in markdown
    assert "All of these are of the images that choose" in markdown
    assert json.loads((tmp_path / "sweep.json").read_text())["reported"] is None
    outdated = tracker.start(
        "winner", {"stage": "winner", "settings": '{"mask_ratio": 0.25}'}, sweep
    )
    tracker.tag(sweep, winner=outdated)
    assert write_sweep(sweep, tracker, tmp_path) == markdown


def test_the_loss_that_decides_is_told_as_that_of_the_training(
    sweep: str, tracker: Tracker, tmp_path: Path
) -> None:
    tracker.tag(sweep, goal="pretrain/loss")
    markdown = write_sweep(sweep, tracker, tmp_path)
    assert "0.2500** (Pretraining loss), the loss of the training itself." in markdown


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_page_opens_without_complaint_or_overflow(
    sweep: str, tracker: Tracker, tmp_path: Path, width: int
) -> None:
    result = CliRunner().invoke(app, ["report", sweep, "--out", str(tmp_path / "report")])
    assert result.exit_code == 0, result.output
    with browser(width) as page:
        assert opened(page, tmp_path / "report" / "sweep.html") == []
        assert not overflows(page)
        assert "<cuda & co>" in page.inner_text("table")
        assert page.inner_text("h1") == "kNN, top-1 by mask ratio, masking"
