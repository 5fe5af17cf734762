import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from downstream.statistics import over_trainings, share
from pipelines.errors import BenchmarkFailed, StageFailed
from pipelines.report.collect import outcomes_of
from pipelines.report.names import number
from pipelines.sweep.best import stretch
from pipelines.sweep.flow import mae_sweep
from pipelines.tracking.stored_run import StoredRun
from pipelines.tracking.tracker import Tracker
from tests.faults import arm
from tests.pipelines.sweep.conftest import Write, halves

pytestmark = pytest.mark.usefixtures("prefect")
RATE = "pretrain.optim_wrapper.optimizer.lr"
PRUNING = "dict(metric='loss', first=0.25, keep=0.5)"


def content_of(folder: str) -> dict[str, Any]:
    return json.loads((Path(folder) / "sweep.json").read_text())


def below(tracker: Tracker, run_id: str) -> list[StoredRun]:
    return tracker.find(parent=run_id)


def below_stage(tracker: Tracker, run_id: str, stage: str) -> list[StoredRun]:
    return [run for run in below(tracker, run_id) if run.stage == stage]


def test_a_broken_trial_is_repeated_and_a_new_value_joins_the_others(
    write: Write, configs: Path, tracker: Tracker
) -> None:
    key = "pretrain.mae.mask_ratio"
    sweep = write(f"{{'{key}': [0.25, 0.5]}}")
    arm(configs / "pretrain.fault", "raise", 20)
    with pytest.raises(BenchmarkFailed, match=r"mask_ratio=0.\d+: .*the device is gone"):
        mae_sweep(sweep, "work")
    (parent,) = tracker.find(stage="sweep")
    first = {run.name: run for run in below(tracker, parent.id)}
    assert sorted(run.status for run in first.values()) == ["FAILED", "FINISHED"]
    write(f"{{'{key}': [0.25, 0.5, 0.75]}}")
    folder = mae_sweep(sweep, "work")
    trials = {run.name: run for run in below(tracker, parent.id)}
    assert sorted(trials) == ["mask_ratio=0.25", "mask_ratio=0.5", "mask_ratio=0.75"]
    for name, run in first.items():
        assert trials[name].id == run.id
        unchanged = trials[name].seconds == run.seconds
        assert unchanged == (run.status == "FINISHED")
    content = content_of(folder)
    assert content["mlflow_run_id"] == parent.id
    for one in content["trials"]:
        run = trials[f"mask_ratio={one['values']['mask_ratio']}"]
        stages = {child.name: child for child in below(tracker, run.id)}
        assert sorted(stages) == ["knn[mae]", "pretrain[mae]"]
        assert stages["pretrain[mae]"].params[key.removeprefix("pretrain.")] == str(
            one["values"]["mask_ratio"]
        )
        assert one["metrics"]["knn/top1"] == stages["knn[mae]"].metrics["knn/top1"].value
    values = [one["metrics"]["knn/top1"] for one in content["trials"]]
    assert content["best"]["value"] == max(values)
    stored = {file.path for file in tracker.client.list_artifacts(parent.id, "report")}
    assert {"report/sweep.html", "report/sweep.json", "report/curves.png"} <= stored


def test_a_hopeless_trial_ends_early_and_is_not_tried_again(write: Write, tracker: Tracker) -> None:
    sweep = write(f"{{'{RATE}': [4e-3, 1e-9]}}", pruning=PRUNING)
    folder = mae_sweep(sweep, "work", ["slots=1"])
    good, bad = sorted(content_of(folder)["trials"], key=lambda one: -one["values"]["lr"])
    assert (good["state"], bad["state"]) == ("complete", "pruned")
    assert "% of its training, loss" in bad["note"]
    assert bad["metrics"].keys() <= {"pruning/value"}
    (killed,) = below(tracker, bad["mlflow_run_id"])
    assert killed.status == "KILLED"
    write(f"{{'{RATE}': [4e-3, 1e-9, 2e-9]}}", pruning=PRUNING)
    again = content_of(mae_sweep(sweep, "work", ["slots=1"]))["trials"]
    assert [one["state"] for one in again] == ["pruned", "pruned", "complete"]
    assert [one["mlflow_run_id"] for one in again][::2] == [
        bad["mlflow_run_id"],
        good["mlflow_run_id"],
    ]


def test_a_goal_that_nobody_measures_is_told_with_those_that_are(
    write: Write, tracker: Tracker
) -> None:
    sweep = write("{'seed': [0]}", goal="'knn/top5'")
    with pytest.raises(BenchmarkFailed, match=r"no stage measured .* expected one of knn/top1"):
        mae_sweep(sweep, "work", ["encoders=['random']"])


def test_the_winner_is_reported_on_images_that_no_trial_was_tested_on(
    write: Write, configs: Path, images: Path, tracker: Tracker
) -> None:
    key, keys = "pretrain.mae.mask_ratio", halves(images)
    arm(configs / "pretrain.fault", "raise", 20)
    with pytest.raises(BenchmarkFailed, match="the device is gone"):
        mae_sweep(write(f"{{'{key}': [0.25, 0.5]}}", **keys), "work")
    (parent,) = tracker.find(stage="sweep")
    assert not tracker.find(stage="winner")  # another may win yet
    content = content_of(mae_sweep(write(f"{{'{key}': [0.25, 0.5]}}", **keys), "work"))
    best, reported = content["best"], content["reported"]
    assert best["value"] == max(one["metrics"]["knn/top1"] for one in content["trials"])
    (winner,) = below_stage(tracker, parent.id, "winner")
    assert reported["mlflow_run_id"] == winner.id
    stages = {run.name: run for run in below(tracker, winner.id)}
    made = tracker.get(stages["pretrain[mae]"].tags["reused_from"])  # by a trial
    assert made.params["mae.mask_ratio"] == str(best["values"]["mask_ratio"])
    correct = outcomes_of(stages["knn[mae]"], tracker)["knn/top1"]
    assert isinstance(correct, np.ndarray) and len(correct) == 15
    assert reported["value"] == correct.mean() == stages["knn[mae]"].metrics["knn/top1"].value
    assert reported["ci95"] == share(correct).ci95  # a plain one: these images chose nothing
    assert (reported["held_out"], reported["settings"], reported["seeds"]) == (True, 2, [])
    said = (Path("work") / "report" / "sweep.md").read_text()
    shown = number("knn/top1", reported["value"], reported["ci95"])
    assert (
        f": {shown}** (kNN, top-1), on images that no trial was tested on; chosen among 2" in said
    )
    again = content_of(mae_sweep(write(f"{{'{key}': [0.25, 0.5]}}", **keys), "work"))
    assert again == content
    assert len(below_stage(tracker, parent.id, "winner")) == 1


def test_where_seeds_vary_the_winner_is_reported_with_others(
    write: Write, images: Path, tracker: Tracker
) -> None:
    values = "{'*.encoder.width': [8, 16], 'knn.seed': [0, 1]}"
    content = content_of(
        mae_sweep(write(values, **halves(images)), "work", ["encoders=['random']"])
    )
    seeds = content["reported"]["seeds"]
    assert [one["seed"] for one in seeds] == [2, 3]
    assert content["reported"]["value"] == pytest.approx(np.mean([one["value"] for one in seeds]))
    assert len(content["best"]["trials"]) == 2 and content["reported"]["settings"] == 2
    runs = [tracker.get(one["mlflow_run_id"]) for one in seeds]
    cases = np.stack([outcomes_of(run, tracker)["knn/top1"] for run in runs])
    assert content["reported"]["ci95"] == over_trainings(cases).ci95


def test_on_the_same_images_the_interval_is_for_the_best_of_all(
    write: Write, tracker: Tracker
) -> None:
    sweep = write("{'*.encoder.width': [4, 8, 16]}")
    folder = mae_sweep(sweep, "work", ["encoders=['random']"])
    content = content_of(folder)
    (best,) = content["best"]["trials"]
    reported = content["reported"]
    assert not reported["held_out"] and reported["value"] == best["metrics"]["knn/top1"]
    assert reported["ci95"] == pytest.approx(best["intervals"]["knn/top1"] * stretch(3, 1))
    assert not tracker.find(stage="winner")
    assert "on the very images that chose it" in (Path(folder) / "sweep.md").read_text()


def test_a_winner_whose_run_failed_is_run_again_and_no_trial_is(
    write: Write, images: Path, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = write("{'*.encoder.width': [8, 16]}", **halves(images))
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.sweep.winner.run_cells", broken)
        with pytest.raises(BenchmarkFailed, match=r"winner: .*the device is gone"):
            mae_sweep(sweep, "work", ["encoders=['random']"])
    (parent,) = tracker.find(stage="sweep")
    before = {run.id: run for run in below(tracker, parent.id)}
    (failed,) = below_stage(tracker, parent.id, "winner")
    assert (failed.status, failed.tags["error"]) == ("FAILED", "the device is gone")
    assert content_of("work/report")["reported"] is None
    content = content_of(mae_sweep(sweep, "work", ["encoders=['random']"]))
    assert content["reported"]["mlflow_run_id"] == failed.id
    after = {run.id: run for run in below(tracker, parent.id)}
    changed = {key for key, run in after.items() if run.seconds != before[key].seconds}
    assert changed == {failed.id}


def broken(*_: object) -> None:
    raise StageFailed("the device is gone")
