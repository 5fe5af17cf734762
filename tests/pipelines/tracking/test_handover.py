import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cells.cell import Cell, cell_folder
from pipelines.cells.launch import stopping_on_error
from pipelines.cells.run_cell import Setting, run_cell
from pipelines.display import Display
from pipelines.errors import StageFailed
from pipelines.recipes.recipe import load_stage_config
from pipelines.tracking import handover as upload
from pipelines.tracking.handover import STATE, clear, take_over, uploading
from pipelines.tracking.tracker import Tracker
from tests.faults import arm
from tests.processes import wait_for

TAGS = {"stage": "pretrain", "encoder": "mae", "fingerprint": "f"}
EVENTS = f"{STATE}/events.jsonl"


@pytest.fixture
def run_id(tracker: Tracker) -> str:
    return tracker.start("pretrain[mae]", TAGS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a stage that has saved its state twice."""
    folder = tmp_path / "stage"
    folder.mkdir()
    for name in ("step_5.pth", "step_10.pth", "events.jsonl"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The same stage's folder on another machine, empty."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def stored(tracker: Tracker, run_id: str) -> set[str]:
    return {Path(name).name for name in tracker.files(run_id, STATE)}


def test_the_last_state_and_the_best_are_kept(tracker: Tracker, run_id: str, folder: Path) -> None:
    upload.upload(tracker, run_id, folder)
    assert stored(tracker, run_id) == {"step_10.pth", "events.jsonl"}
    for name in ("step_20.pth", "best.pth"):
        (folder / name).write_text(name)
    upload.upload(tracker, run_id, folder)
    assert stored(tracker, run_id) == {"step_20.pth", "best.pth", "events.jsonl"}
    assert not [tag for tag in tracker.client.get_run(run_id).data.tags if "step_10" in tag]
    clear(tracker, run_id)
    assert stored(tracker, run_id) == set()
    assert len(list(folder.iterdir())) == 5


def test_a_stage_without_a_state_uploads_nothing(
    tracker: Tracker, run_id: str, tmp_path: Path
) -> None:
    upload.upload(tracker, run_id, tmp_path)
    assert stored(tracker, run_id) == set()


def test_it_goes_on_while_the_stage_does(
    tracker: Tracker, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "EVERY", 0.01)
    before = threading.active_count()
    with uploading(tracker, run_id, folder):
        wait_for(lambda: "step_10.pth" in stored(tracker, run_id))
        (folder / "step_20.pth").write_text("newer")
        wait_for(lambda: stored(tracker, run_id) == {"step_20.pth", "events.jsonl"})
    assert threading.active_count() == before


def test_a_failure_is_a_warning(
    tracker: Tracker,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(upload, "EVERY", 0.01)
    with uploading(tracker, "no-run", folder):
        wait_for(lambda: "a checkpoint is not uploaded: " in caplog.text)


def test_only_what_has_stopped_is_continued(
    tracker: Tracker, run_id: str, folder: Path, elsewhere: Path
) -> None:
    upload.upload(tracker, run_id, folder)
    said: list[str] = []
    for status in ("RUNNING", "FINISHED"):
        tracker.client.update_run(run_id, status=status)
        take_over("f", "mae", tracker, elsewhere, said.append)
        assert not list(elsewhere.iterdir()) and not said
    tracker.end(run_id, "KILLED")
    for other in (("g", "mae"), ("f", "random")):
        take_over(*other, tracker, elsewhere, said.append)
        assert not list(elsewhere.iterdir()) and not said
    take_over("f", "mae", tracker, elsewhere, said.append)
    assert said == [f"continues what the MLflow run {run_id} has uploaded"]
    for name in ("step_10.pth", "events.jsonl"):
        assert (elsewhere / name).read_text() == name


@pytest.mark.parametrize("fault", ["damaged", "without a checksum"])
def test_a_state_that_is_not_whole_is_told_and_not_continued(
    tracker: Tracker, run_id: str, folder: Path, elsewhere: Path, fault: str
) -> None:
    upload.upload(tracker, run_id, folder)
    if fault == "damaged":
        place = str(tracker.client.get_run(run_id).info.artifact_uri).removeprefix("file://")
        (Path(place) / STATE / "step_10.pth").write_text("cut")
    else:  # as if the upload had been cut off
        tracker.client.delete_tag(run_id, f"sha256/{STATE}/step_10.pth")
    tracker.end(run_id, "KILLED")
    said: list[str] = []
    take_over("f", "mae", tracker, elsewhere, said.append)
    assert not list(elsewhere.iterdir())
    (line,) = said
    assert line.startswith("not continued: ") and "step_10.pth" in line


def test_a_killed_pretraining_goes_on_in_an_empty_work_dir(
    tracker: Tracker, configs: Path, tmp_path: Path
) -> None:
    config = load_stage_config("pretrain", str(configs / "pretrain.py"), [])
    cell = Cell("pretrain", "random", "random", config)
    arm(configs / "pretrain.fault", "kill", 23)  # after the log of step 20, the save of step 16
    with stopping_on_error():
        setting = Setting(tmp_path / "work", tracker, Display(), "tiny")
        with pytest.raises(StageFailed):
            run_cell(cell, setting)
        (killed,) = tracker.computed(cell.key, "random", "FAILED")
        upload.upload(tracker, killed.id, cell_folder(cell, setting.work_dir))
        there = replace(setting, work_dir=tmp_path / "there")
        outcome = run_cell(cell, there)
    assert outcome.status == "resumed" and outcome.run_id != killed.id
    assert "resumed epoch: 2" in (cell_folder(cell, there.work_dir) / "log.txt").read_text()
    points = tracker.client.get_metric_history(outcome.run_id, "loss")
    assert [point.step for point in points] == [10, 20, 30, 40, 48]
    assert stored(tracker, outcome.run_id) == set()
