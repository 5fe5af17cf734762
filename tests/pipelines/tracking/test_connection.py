import sqlite3
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from pipelines.cells.launch import stop_all, stopping_on_error
from pipelines.tracking import patience
from pipelines.tracking.connection import alone_with, while_locked


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "AGAIN", 0.001)


def test_a_locked_database_is_asked_again_and_no_other_error_is() -> None:
    locked = [MlflowException("(sqlite3.OperationalError) database is locked")] * 3

    def ask() -> str:
        if locked:
            raise locked.pop()
        return "answer"

    assert while_locked(ask) == "answer" and not locked

    def fail() -> str:
        locked.append(MlflowException("no such table"))
        raise locked[-1]

    with pytest.raises(MlflowException, match="no such table"):
        while_locked(fail)
    assert len(locked) == 1


def test_a_lock_that_is_another_users_does_not_keep_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with alone_with(tmp_path / "mlflow.db"):
        pass


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_a_database_without_a_file_has_no_lock(name: str) -> None:
    with alone_with(Path(name)):
        assert not list(Path().glob(".*.lock"))


def test_who_is_asked_to_stop_does_not_wait_for_a_lock() -> None:
    def ask() -> str:
        raise MlflowException(str(sqlite3.OperationalError("database is locked")))

    with pytest.raises(MlflowException), stopping_on_error():
        stop_all()
        while_locked(ask)
    with stopping_on_error():
        pass
