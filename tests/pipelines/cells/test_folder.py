import errno
import fcntl
import shutil
import threading
from pathlib import Path

import pytest

from mae_core import UserError
from mae_core.stage import Metric, StageResult
from pipelines.cells import folder as folders
from pipelines.cells.folder import (
    exclusive_lock,
    finished_result,
    locked_at_once,
    read_record,
    set_aside,
    training_files,
)
from tests.processes import wait_for


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "PATIENCE", 0.01)


def test_one_works_in_a_folder_at_a_time(tmp_path: Path, quickly: None) -> None:
    inside = threading.Event()

    def work() -> None:
        with exclusive_lock(tmp_path / "stage"):
            inside.set()

    thread = threading.Thread(target=work)
    with exclusive_lock(tmp_path / "stage"):
        thread.start()
        assert not inside.wait(0.1)
    thread.join()
    assert inside.is_set()


def test_those_that_share_a_folder_keep_out_who_wants_it_alone(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with (
        exclusive_lock(tmp_path, shared=True),
        exclusive_lock(tmp_path, shared=True),
        locked_at_once(lock) as free,
    ):
        assert not free
    with locked_at_once(lock) as free:
        assert free
        with locked_at_once(lock) as again:
            assert not again


def test_a_lock_of_a_folder_that_is_gone_is_not_had(tmp_path: Path) -> None:
    with locked_at_once(tmp_path / "gone" / ".lock") as free:
        assert not free


def test_who_waits_for_a_folder_that_is_removed_works_in_a_new_one(
    tmp_path: Path, quickly: None
) -> None:
    folder, waits, done = tmp_path / "stage", threading.Event(), threading.Event()

    def work() -> None:
        waits.set()
        with exclusive_lock(folder):
            (folder / "written").touch()
        done.set()

    with exclusive_lock(folder):
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


def test_who_waits_says_so(tmp_path: Path, quickly: None) -> None:
    said: list[str] = []

    def work() -> None:
        with exclusive_lock(tmp_path, say=said.append):
            pass

    thread = threading.Thread(target=work)
    with exclusive_lock(tmp_path):
        thread.start()
        wait_for(lambda: bool(said))
    thread.join()
    assert said == [f"waiting for another run in {tmp_path}"]


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = pytest.raises(UserError, match=r"file.* cannot be written .*--work-dir")
    with told, exclusive_lock(tmp_path / "file" / "stage"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    told = pytest.raises(UserError, match=r"cannot be locked: .*Choose a folder on another one")
    with told, exclusive_lock(tmp_path):
        pass
    with locked_at_once(tmp_path / ".lock") as free:
        assert not free


def test_what_is_set_aside_waits_for_those_that_work_there(tmp_path: Path, quickly: None) -> None:
    (tmp_path / "stages").mkdir()
    said: list[str] = []
    thread = threading.Thread(target=lambda: set_aside(tmp_path, said.append))
    with exclusive_lock(tmp_path, shared=True):
        thread.start()
        wait_for(lambda: bool(said))
        assert (tmp_path / "stages").exists()
    thread.join()
    assert not (tmp_path / "stages").exists() and list(tmp_path.glob("stages-before-*"))


def test_two_that_are_set_aside_in_one_second_have_two_names(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / "stages").mkdir()
        set_aside(tmp_path, print)
    assert len(list(tmp_path.glob("stages-before-*"))) == 3
