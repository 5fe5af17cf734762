import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mlflow.entities import Run

from mae_core import pretrain
from mae_core.checkpoints import read_state
from mae_core.stage import Metric, SilentReporter, StageResult
from pipelines.cells.cell import Cell
from pipelines.cells.job import loggable
from pipelines.cells.run_cell import Outcome, Setting, run_cell, summary
from pipelines.errors import StageFailed
from pipelines.recipes.recipe import load_stage_config
from pipelines.tracking.tracker import Tracker
from tests.faults import arm

Shared = tuple[Setting, Path]


def make(configs: Path, stage: str, *overrides: str) -> Cell:
    config = load_stage_config(stage, str(configs / f"{stage}.py"), overrides)
    return Cell(stage, "random", "random", config)


def folder_of(setting: Setting, run_id: str) -> Path:
    tags = setting.tracker.client.get_run(run_id).data.tags
    return setting.work_dir / "stages" / f"{tags['stage']}-random-{tags['fingerprint']}"


def same(first: StageResult, second: StageResult) -> bool:
    one, other = (read_state(result.artifacts["mae"]) for result in (first, second))
    assert one.keys() == other.keys()
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def killed(shared: Shared) -> Run:
    """The MLflow run of a pretraining that was killed."""
    setting, configs = shared
    arm(configs / "pretrain.fault", "kill", 23)  # after the log of step 20, the save of step 16
    with pytest.raises(StageFailed, match="ended with code -9"):
        run_cell(make(configs, "pretrain"), setting)
    (run,) = setting.tracker.client.search_runs([setting.tracker.experiment])
    return run


@pytest.fixture(scope="module")
def resumed(shared: Shared, killed: Run) -> Outcome:
    setting, configs = shared
    return run_cell(make(configs, "pretrain"), setting)


@pytest.fixture(scope="module")
def whole(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> StageResult:
    """The same pretraining without interruption."""
    config = make(shared[1], "pretrain").config
    return pretrain.run(config, "random", tmp_path_factory.mktemp("whole"), SilentReporter())


def test_a_killed_stage_is_a_failed_run_with_its_cause(killed: Run) -> None:
    assert killed.info.status == "FAILED"
    assert "ended with code -9" in killed.data.tags["error"]


def test_a_killed_pretraining_ends_with_the_weights_of_an_uninterrupted_one(
    resumed: Outcome, whole: StageResult
) -> None:
    assert resumed.status == "resumed"
    assert resumed.result.metrics == whole.metrics
    assert same(resumed.result, whole)


def test_a_resumed_cell_continues_its_mlflow_run_without_repeating_a_step(
    shared: Shared, killed: Run, resumed: Outcome
) -> None:
    client = shared[0].tracker.client
    assert resumed.run_id == killed.info.run_id
    run = client.get_run(resumed.run_id)
    assert run.info.status == "FINISHED"
    assert "error" not in run.data.tags
    for key in ("loss", "lr", "images_per_second"):
        steps = [point.step for point in client.get_metric_history(resumed.run_id, key)]
        assert steps == [10, 20, 30, 40, 48]


def test_a_resume_reads_no_pickled_code(shared: Shared, resumed: Outcome) -> None:
    log = (folder_of(shared[0], resumed.run_id) / "log.txt").read_text()
    assert "resumed epoch: 2" in log
    assert "weights_only" not in log


def test_a_finished_cell_keeps_no_training_state(shared: Shared, resumed: Outcome) -> None:
    folder = folder_of(shared[0], resumed.run_id)
    assert resumed.result.files_exist() and not list(folder.rglob("step_*"))


def test_a_file_that_is_gone_comes_back_from_mlflow(
    shared: Shared, resumed: Outcome, whole: StageResult
) -> None:
    setting, configs = shared
    for name in resumed.result.files():
        Path(name).unlink()
    again = run_cell(make(configs, "pretrain"), setting)
    assert (again.status, again.run_id) == ("reused", resumed.run_id)
    assert again.result.files_exist() and same(again.result, whole)


def test_a_cell_whose_files_are_gone_everywhere_runs_again(
    shared: Shared, resumed: Outcome, whole: StageResult
) -> None:
    setting, configs = shared
    for name in resumed.result.files():
        Path(name).unlink()
    for file in setting.tracker.files(resumed.run_id, "checkpoint"):
        setting.tracker.remove(resumed.run_id, file)
    again = run_cell(make(configs, "pretrain"), setting)
    assert (again.status, again.run_id) == ("run", resumed.run_id)
    assert again.result.files_exist() and same(again.result, whole)
    points = setting.tracker.client.get_metric_history(resumed.run_id, "pretrain/loss")
    assert len(points) == 1


@pytest.fixture(scope="module")
def finished(shared: Shared) -> Outcome:
    setting, configs = shared
    return run_cell(make(configs, "knn"), setting)


@pytest.fixture
def no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("pipelines.cells.run_cell.launch")


def test_a_finished_cell_is_tracked_with_config_data_and_log(
    shared: Shared, finished: Outcome
) -> None:
    client = shared[0].tracker.client
    run = client.get_run(finished.run_id)
    expected = {"stage": "knn", "encoder": "random", "recipe": "tiny"}
    assert run.data.tags.items() >= expected.items()
    assert folder_of(shared[0], finished.run_id).is_dir()
    assert (
        run.data.params.items()
        >= {"k": "3", "encoder.name": "random", "encoder.width": "16"}.items()
    )
    digests = json.loads(run.data.tags["data"])
    assert [Path(root).name for root in digests] == ["train", "val"]
    assert run.data.metrics["knn/top1"] == finished.result.metrics["knn/top1"].value
    stored = {file.path for file in client.list_artifacts(finished.run_id)}
    assert {"config.py", "log.txt"} <= stored


def test_a_finished_cell_is_reused(shared: Shared, finished: Outcome, no_launch: None) -> None:
    setting, configs = shared
    expected = Outcome("reused", finished.run_id, finished.result)
    assert run_cell(make(configs, "knn"), setting) == expected
    with pytest.raises(NameError, match="launch"):
        run_cell(make(configs, "knn", "k=4"), setting)


def test_a_reused_cell_appears_under_the_new_benchmark(
    shared: Shared, finished: Outcome, no_launch: None
) -> None:
    setting, configs = shared
    parent = setting.tracker.start("benchmark", {})
    again = run_cell(make(configs, "knn"), replace(setting, parent=parent))
    assert again.run_id == finished.run_id
    found = f"tags.mlflow.parentRunId = '{parent}'"
    (copy,) = setting.tracker.client.search_runs([setting.tracker.experiment], found)
    assert copy.data.tags["reused_from"] == finished.run_id


def test_a_result_that_mlflow_does_not_know_is_tracked_again(
    shared: Shared, finished: Outcome, tracker: Tracker, no_launch: None
) -> None:
    setting, configs = shared
    other = replace(setting, tracker=tracker, work_dir=Path("copy").absolute())
    shutil.copytree(setting.work_dir, other.work_dir)
    again = run_cell(make(configs, "knn"), other)
    assert again.run_id != finished.run_id
    run = tracker.client.get_run(again.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["knn/top1"] == finished.result.metrics["knn/top1"].value


def test_the_summary_is_one_line() -> None:
    result = StageResult({"knn/top1": Metric(0.51234, 0.1), "loss": Metric(2.0)})
    assert summary(result) == "knn/top1 0.512 ± 0.100, loss 2.000"


def test_params_leave_out_what_nobody_compares(configs: Path) -> None:
    values = loggable(make(configs, "pretrain").config)
    assert values.keys() >= {"optim_wrapper", "seed", "mae", "encoder"}
    assert not values.keys() & {"default_hooks", "env_cfg", "log_level"}
