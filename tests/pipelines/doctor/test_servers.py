import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from pipelines.doctor import servers
from pipelines.doctor.servers import check_mlflow, check_prefect
from pipelines.tracking.tracker import EXPERIMENT, Tracker
from tests.pipelines.clean.conftest import put
from tests.pipelines.doctor.conftest import only

CLOSED = "http://127.0.0.1:9"  # the port 'discard', on which nothing listens


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that takes questions and never answers."""
    monkeypatch.setattr(servers, "PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_no_prefect_server_is_needed_but_a_place_for_an_own_one(tmp_path: Path) -> None:
    with temporary_settings(restore_defaults=[PREFECT_API_URL]):
        assert only(check_prefect()).found.endswith("no server is set: each run starts its own")
    home = put(tmp_path / "file") / "prefect"
    with temporary_settings({PREFECT_HOME: home}, restore_defaults=[PREFECT_API_URL]):
        found = only(check_prefect())
    assert (found.mark, found.todo) == ("wrong", "set PREFECT_HOME")


def test_a_prefect_server_that_answers_is_fine(prefect: None) -> None:
    assert only(check_prefect()).found.endswith(f" at {PREFECT_API_URL.value()}")


def test_a_prefect_server_that_does_not_answer_is_wrong(silent: str) -> None:
    for url in (CLOSED, silent):
        with temporary_settings({PREFECT_API_URL: f"{url}/api"}):
            found = only(check_prefect())
        assert found.mark == "wrong" and found.found.startswith(f"{url}/api does not answer")


def test_a_database_is_there_or_not_yet(tracker: Tracker, tmp_path: Path) -> None:
    assert only(check_mlflow()).found == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_database_is_not_made_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert only(check_mlflow()).found == f"{tmp_path}/runs/mlflow.db will be made at the first run"
    assert not list(tmp_path.iterdir())
    put(tmp_path / "runs")
    found = only(check_mlflow())
    assert found.mark == "wrong" and found.found.endswith("cannot be written: Not a directory")


def test_a_database_that_cannot_be_written_is_wrong(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "PATIENCE", 0.1)
    other = sqlite3.connect(tmp_path / "mlflow.db")
    other.execute("BEGIN EXCLUSIVE")
    assert only(check_mlflow()).found.endswith("mlflow.db cannot be written: database is locked")
    other.close()
    (tmp_path / "mlflow.db").write_text("no database, but a text that is long enough" * 100)
    found = only(check_mlflow())
    assert found.mark == "wrong" and found.found.endswith("file is not a database")


def test_a_deleted_experiment_is_wrong(tracker: Tracker) -> None:
    experiment = tracker.client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    tracker.client.delete_experiment(experiment.experiment_id)
    assert "mlflow experiments restore" in only(check_mlflow()).todo


def test_an_mlflow_server_that_does_not_answer_is_wrong_and_no_password_shown(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(variable, "")
    for url in (CLOSED, silent):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url.replace("//", "//ann:hidden@"))
        found = only(check_mlflow())
        assert found.mark == "wrong" and found.found.startswith(f"{url} does not answer")
        assert "hidden" not in found.found
