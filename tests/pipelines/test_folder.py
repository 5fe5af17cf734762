import shutil
import threading
from pathlib import Path

import pytest

from mae_core.stage import Metric, StageResult
from pipelines import folder as folders
from pipelines.folder import alone, finished_result, read_record, taken_now, training_files
from tests.processes import wait_for


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "PATIENCE", 0.01)


def test_one_works_in_a_folder_at_a_time(tmp_path: Path, quickly: None) -> None:
    inside = threading.Event()

    def work() -> None:
        with alone(tmp_path / "stage"):
            inside.set()

    thread = threading.Thread(target=work)
    with alone(tmp_path / "stage"):
        thread.start()
        assert not inside.wait(0.1)
    thread.join()
    assert inside.is_set()


def test_those_that_share_a_folder_keep_out_who_wants_it_alone(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with alone(tmp_path, shared=True), alone(tmp_path, shared=True), taken_now(lock) as free:
        assert not free
    with taken_now(lock) as free:
        assert free
        with taken_now(lock) as again:
            assert not again


def test_a_lock_of_a_folder_that_is_gone_is_not_had(tmp_path: Path) -> None:
    with taken_now(tmp_path / "gone" / ".lock") as free:
        assert not free


def test_who_waits_for_a_folder_that_is_removed_works_in_a_new_one(
    tmp_path: Path, quickly: None
) -> None:
    folder, waits, done = tmp_path / "stage", threading.Event(), threading.Event()

    def work() -> None:
        waits.set()
        with alone(folder):
            (folder / "written").touch()
        done.set()

    with alone(folder):
        threading.Thread(target=work).start()
        assert waits.wait(10) and not done.wait(0.1)
        shutil.rmtree(folder)
    wait_for(done.is_set)
    assert (folder / "written").exists()


def test_training_files_are_those_that_the_result_does_not_name(tmp_path: Path) -> None:
    for name in ("step_4.pth", "step_8.pth", "step_6.damaged", "best.pth", "part/step_2.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    StageResult(artifacts={"last": str(tmp_path / "step_8.pth")}).save(tmp_path / "result.json")
    result = finished_result(tmp_path)
    assert result is not None
    found = [str(path.relative_to(tmp_path)) for path in training_files(tmp_path, result)]
    assert found == ["part/step_2.pth", "step_4.pth", "step_6.damaged"]


@pytest.mark.parametrize("content", ["", '{"run_id": '])
def test_a_record_that_a_crash_cut_short_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    assert read_record(tmp_path / "run.json") == {}
    assert read_record(tmp_path / "missing.json") == {}


def test_a_damaged_result_is_no_result(tmp_path: Path) -> None:
    result = StageResult({"knn/top1": Metric(0.5)})
    result.save(tmp_path / "result.json")
    assert finished_result(tmp_path) == result
    for damaged in ("", '{"metrics": {', "[]", '{"metrics": {"knn/top1": {}}}'):
        (tmp_path / "result.json").write_text(damaged)
        assert finished_result(tmp_path) is None
