import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run

from pipelines.launch import BenchmarkFailed
from pipelines.sweep.flow import mae_sweep
from pipelines.tracking import Tracker
from tests.faults import arm
from tests.pipelines.sweep.conftest import Write

pytestmark = pytest.mark.usefixtures("prefect")
RATE = "pretrain.optim_wrapper.optimizer.lr"
PRUNING = "dict(metric='loss', first=0.25, keep=0.5)"


def content_of(folder: str) -> dict[str, Any]:
    return json.loads((Path(folder) / "sweep.json").read_text())


def below(tracker: Tracker, run_id: str) -> list[Run]:
    return tracker.search(f"tags.mlflow.parentRunId = '{run_id}'")


def test_a_broken_trial_is_repeated_and_a_new_value_joins_the_others(
    write: Write, configs: Path, tracker: Tracker
) -> None:
    key = "pretrain.mae.mask_ratio"
    sweep = write(f"{{'{key}': [0.25, 0.5]}}")
    arm(configs / "pretrain.fault", "raise", 20)
    with pytest.raises(BenchmarkFailed, match=r"mask_ratio=0.\d+: .*the device is gone"):
        mae_sweep(sweep, "work")
    (parent,) = tracker.search("tags.stage = 'sweep'")
    first = {run.info.run_name: run for run in below(tracker, parent.info.run_id)}
    assert sorted(run.info.status for run in first.values()) == ["FAILED", "FINISHED"]
    write(f"{{'{key}': [0.25, 0.5, 0.75]}}")
    folder = mae_sweep(sweep, "work")
    trials = {run.info.run_name: run for run in below(tracker, parent.info.run_id)}
    assert sorted(trials) == ["mask_ratio=0.25", "mask_ratio=0.5", "mask_ratio=0.75"]
    for name, run in first.items():
        assert trials[name].info.run_id == run.info.run_id
        unchanged = trials[name].info.end_time == run.info.end_time
        assert unchanged == (run.info.status == "FINISHED")
    content = content_of(folder)
    assert content["mlflow_run_id"] == parent.info.run_id
    for one in content["trials"]:
        run = trials[f"mask_ratio={one['values']['mask_ratio']}"]
        stages = {child.info.run_name: child for child in below(tracker, run.info.run_id)}
        assert sorted(stages) == ["knn[mae]", "pretrain[mae]"]
        assert stages["pretrain[mae]"].data.params[key.removeprefix("pretrain.")] == str(
            one["values"]["mask_ratio"]
        )
        assert one["metrics"]["knn/top1"] == stages["knn[mae]"].data.metrics["knn/top1"]
    values = [one["metrics"]["knn/top1"] for one in content["trials"]]
    assert content["best"]["value"] == max(values)
    stored = {file.path for file in tracker.client.list_artifacts(parent.info.run_id, "report")}
    assert {"report/sweep.html", "report/sweep.json", "report/curves.png"} <= stored


def test_a_hopeless_trial_ends_early_and_is_not_tried_again(write: Write, tracker: Tracker) -> None:
    sweep = write(f"{{'{RATE}': [4e-3, 1e-9]}}", pruning=PRUNING)
    folder = mae_sweep(sweep, "work", ["slots=1"])
    good, bad = sorted(content_of(folder)["trials"], key=lambda one: -one["values"]["lr"])
    assert (good["state"], bad["state"]) == ("complete", "pruned")
    assert "% of its training, loss" in bad["note"]
    assert bad["metrics"].keys() <= {"pruning/value"}
    (killed,) = below(tracker, bad["mlflow_run_id"])
    assert killed.info.status == "KILLED"
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
