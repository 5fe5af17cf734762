import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Dataset, DatasetInput
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INTERNAL_ERROR,
    PERMISSION_DENIED,
    TEMPORARILY_UNAVAILABLE,
)

from mae_core import UserError
from mae_core.stage import Metric, StageResult
from pipelines.tracking import patience
from pipelines.tracking.patience import Undelivered
from pipelines.tracking.tracker import (
    PARAM_LIMIT,
    PASSWORD,
    USER,
    Tracker,
    flatten,
    tracking_uri,
    with_driver,
    without_password,
)

TAGS = {"stage": "knn", "encoder": "random", "recipe": "tiny", "fingerprint": "f"}
TREES = st.recursive(
    st.integers(),
    lambda leaf: st.dictionaries(st.text("abc", min_size=1, max_size=2), leaf, min_size=1),
    max_leaves=5,
)


def history(tracker: Tracker, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(p.step, p.value) for p in tracker.client.get_metric_history(run_id, key)]


def test_two_commands_may_open_a_new_database_together(tmp_path: Path) -> None:
    """MLflow's migrations fail where two make the same tables."""
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    code = f"from pipelines.tracking.tracker import Tracker; print(Tracker({uri!r}).experiment)"
    command = [sys.executable, "-c", code]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [process.communicate()[0].split()[-1:] for process in both]
    assert found == [[Tracker(uri).experiment]] * 2


def test_everything_lies_beside_the_database_and_not_in_the_current_folder(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    database = shutil.copy(empty_database, tmp_path / "elsewhere" / "mlflow.db")
    tracker = Tracker(f"sqlite:///{database}")
    (tmp_path / "note.txt").write_text("kept")
    tracker.artifact(tracker.start("a", TAGS), tmp_path / "note.txt")
    (stored,) = (tmp_path / "elsewhere" / "mlartifacts").rglob("note.txt")
    assert stored.read_text() == "kept"
    assert not (tmp_path / "mlruns").exists()


def test_the_environment_decides_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{tmp_path}/runs/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert tracking_uri() == "http://tracking:5000"


def test_a_second_tracker_finds_the_same_experiment(tracker: Tracker) -> None:
    assert Tracker().experiment == tracker.experiment


def test_a_run_carries_its_tags_and_its_parent(tracker: Tracker) -> None:
    parent = tracker.start("benchmark", {})
    tags = tracker.client.get_run(tracker.start("knn[random]", TAGS, parent)).data.tags
    assert tags.items() >= TAGS.items()
    assert (tags["mlflow.runName"], tags["mlflow.parentRunId"]) == ("knn[random]", parent)


def test_a_resumed_run_is_the_same_and_a_deleted_one_is_replaced(tracker: Tracker) -> None:
    first = tracker.start("a", TAGS)
    tracker.tag(first, error="the device is gone")
    tracker.end(first, "KILLED")
    assert tracker.start("a", TAGS, resumed=first) == first
    resumed = tracker.client.get_run(first)
    assert resumed.info.status == "RUNNING"
    assert "error" not in resumed.data.tags
    tracker.client.delete_run(first)
    assert tracker.start("a", TAGS, resumed=first) != first
    assert tracker.start("a", TAGS, resumed="never was") != first


def test_only_a_closed_run_that_is_still_there_is_finished(tracker: Tracker) -> None:
    run_id = tracker.start("a", TAGS)
    assert not tracker.finished(run_id)
    tracker.finish(run_id, StageResult())
    assert tracker.finished(run_id)
    tracker.client.delete_run(run_id)
    assert not tracker.finished(run_id)
    assert not tracker.finished("never was")


def test_params_stay_as_first_logged(tracker: Tracker) -> None:
    run_id = tracker.start("a", TAGS)
    tracker.params(run_id, {"optimizer": {"lr": 0.1}, "text": "x" * 9999})
    tracker.params(run_id, {"optimizer": {"lr": 0.2}, "new": 1})
    params = tracker.client.get_run(run_id).data.params
    assert params == {"optimizer.lr": "0.1", "text": "x" * PARAM_LIMIT, "new": "1"}


def test_any_number_of_params_fits(tracker: Tracker) -> None:
    run_id = tracker.start("a", TAGS)
    tracker.params(run_id, {f"p{i}": i for i in range(205)})
    assert len(tracker.client.get_run(run_id).data.params) == 205


def test_the_last_step_of_each_metric_is_known(tracker: Tracker) -> None:
    run_id = tracker.start("a", TAGS)
    assert tracker.last_steps(run_id) == {}
    for step in (10, 20):
        tracker.points(run_id, {"loss": 1.0, "lr": 0.1}, step)
    tracker.points(run_id, {"val/top1": 0.5}, 16)
    assert tracker.last_steps(run_id) == {"loss": 20, "lr": 20, "val/top1": 16}


def test_a_finished_run_holds_the_whole_result(tracker: Tracker, tmp_path: Path) -> None:
    for name in ("encoder.safetensors", "picture.png"):
        (tmp_path / name).write_text(name)
    result = StageResult(
        {"knn/top1": Metric(0.5, 0.1), "loss": Metric(2.0)},
        str(tmp_path / "encoder.safetensors"),
        {"picture": str(tmp_path / "picture.png")},
    )
    run_id = tracker.start("a", TAGS)
    tracker.finish(run_id, result)
    run = tracker.client.get_run(run_id)
    assert run.data.metrics == {"knn/top1": 0.5, "knn/top1_ci95": 0.1, "loss": 2.0}
    assert run.info.status == "FINISHED"
    stored = [f.path for f in tracker.client.list_artifacts(run_id, "checkpoint")]
    assert stored == ["checkpoint/encoder.safetensors"]
    assert "picture.png" in [f.path for f in tracker.client.list_artifacts(run_id)]


def test_finishing_again_repeats_no_number(tracker: Tracker) -> None:
    run_id = tracker.start("a", TAGS)
    for value in (0.5, 0.5, 0.6):
        tracker.finish(run_id, StageResult({"knn/top1": Metric(value)}))
    assert history(tracker, run_id, "knn/top1") == [(0, 0.5), (0, 0.6)]
    assert tracker.client.get_run(run_id).data.metrics == {"knn/top1": 0.6}


def test_a_reused_run_shows_under_the_new_parent_too(tracker: Tracker) -> None:
    old, new = tracker.start("old", {}), tracker.start("new", {})
    run_id = tracker.start("knn[random]", TAGS, old)
    tracker.finish(run_id, StageResult({"knn/top1": Metric(0.5)}))
    tracker.adopt(run_id, "knn[random]", old)  # is there already
    tracker.adopt(run_id, "knn[random]", None)  # a stage on its own
    for _ in range(2):
        tracker.adopt(run_id, "knn[random]", new)
    found = tracker.client.search_runs([tracker.experiment], f"tags.mlflow.parentRunId = '{new}'")
    (copy,) = found
    assert copy.data.tags.items() >= {**TAGS, "reused_from": run_id}.items()
    assert copy.data.metrics == {"knn/top1": 0.5}
    assert copy.info.status == "FINISHED"
    assert len(tracker.client.search_runs([tracker.experiment])) == 4


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        ("http://127.0.0.1:9", "Connection refused"),
        ("sqlite:///{tmp}/damaged.db", "file is not a database"),
        ("sqlite:///{tmp}/damaged.db/mlflow.db", "File exists"),
        ("htpp://localhost", "unsupported URI"),
    ],
)
def test_a_place_without_tracking_is_named(tmp_path: Path, uri: str, cause: str) -> None:
    (tmp_path / "damaged.db").write_text("this is no database " * 100)
    uri = uri.format(tmp=tmp_path)
    with pytest.raises(UserError) as error:
        Tracker(uri)
    message = str(error.value)
    assert f"no MLflow tracking at {uri}" in message
    assert cause in message
    assert "change MLFLOW_TRACKING_URI" in message


def test_a_deleted_experiment_is_explained(tracker: Tracker) -> None:
    tracker.client.delete_experiment(tracker.experiment)
    with pytest.raises(
        UserError, match=f"was deleted.* experiments restore -x {tracker.experiment}"
    ):
        Tracker()


@given(tree=st.dictionaries(st.text("abc", min_size=1, max_size=2), TREES))
def test_flattening_keeps_every_leaf_under_its_path(tree: dict[str, object]) -> None:
    flat = flatten(tree)
    for path, leaf in flat.items():
        node: object = tree
        for part in path.split("."):
            assert isinstance(node, dict)
            node = node[part]
        assert node == leaf
    assert len(flat) == count_leaves(tree)


def count_leaves(node: object) -> int:
    return sum(map(count_leaves, node.values())) if isinstance(node, dict) else 1


def test_a_link_to_a_server_has_no_password(tracker: Tracker) -> None:
    assert tracker.link("1") == ""
    tracker.uri = "https://me:secret@mlflow.lab:5000/"
    link = f"https://mlflow.lab:5000/#/experiments/{tracker.experiment}/runs/1"
    assert tracker.link("1") == link


def test_a_password_in_the_address_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (USER, PASSWORD):
        monkeypatch.setenv(name, "")
    with pytest.raises(UserError, match="no MLflow tracking at") as error:
        Tracker("http://someone:canary%40@127.0.0.1:9/mlflow")
    assert (os.environ[USER], os.environ[PASSWORD]) == ("someone", "canary@")
    assert "canary" not in str(error.value) and "127.0.0.1:9" in str(error.value)


def test_runs_that_enter_the_same_data_at_once_all_have_it(tracker: Tracker) -> None:
    runs = [tracker.start(str(number), TAGS) for number in range(4)]
    names = [f"data-{number}" for number in range(30)]
    together = Barrier(len(runs), timeout=30)

    def enter(run_id: str) -> None:
        for name in names:
            together.wait()
            tracker.inputs(run_id, [DatasetInput(Dataset(name, "digest", "local", "{}"))])

    with ThreadPoolExecutor(len(runs)) as pool:
        list(pool.map(enter, runs))
    for run_id in runs:
        found = tracker.client.get_run(run_id).inputs.dataset_inputs
        assert sorted(data.dataset.name for data in found) == sorted(names)


CODES = (INTERNAL_ERROR, PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE, BAD_REQUEST)


@pytest.mark.parametrize("code", CODES)
def test_an_outage_is_not_taken_for_a_run_that_is_gone(
    code: int, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = tracker.start("a", TAGS)

    def away(_: str) -> None:
        raise MlflowException("away", code)

    monkeypatch.setattr(patience, "PATIENCE", 0.01)
    monkeypatch.setattr(tracker.client, "get_run", away)
    for ask in (tracker.exists, tracker.finished, tracker.look_up):
        with pytest.raises(MlflowException):
            ask(run_id)
    with pytest.raises(Undelivered):
        tracker.start("a", TAGS, resumed=run_id)
    monkeypatch.undo()
    assert [run.id for run in tracker.find()] == [run_id]


def test_a_start_whose_answer_is_lost_makes_one_run(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, lost = tracker.client.create_run, [1, 2]

    def answerless(*given: object, **named: object) -> object:
        made = create(*given, **named)
        if lost.pop():
            raise MlflowException("away", TEMPORARILY_UNAVAILABLE)
        return made

    monkeypatch.setattr(patience, "AGAIN", 0.001)
    monkeypatch.setattr(tracker.client, "create_run", answerless)
    run_id = tracker.start("a", TAGS)
    assert [run.id for run in tracker.find()] == [run_id]


def test_a_locked_database_delays_what_begins_and_ends_a_run(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "AGAIN", 0.001)
    parent = tracker.start("parent", TAGS)
    locked = [1]

    def lock(action: Any) -> Any:
        def once(*given: object, **named: object) -> object:
            if locked:
                locked.pop()
                raise MlflowException("database is locked", TEMPORARILY_UNAVAILABLE)
            return action(*given, **named)

        return once

    for name in ("create_run", "set_terminated"):
        monkeypatch.setattr(tracker.client, name, lock(getattr(tracker.client, name)))
    tracker.start("child", TAGS, parent)
    locked.append(1)
    with tracker.closing(parent):
        pass
    assert tracker.finished(parent) and not locked


ADDRESSES = {
    "postgresql://me@host/db": "postgresql+psycopg2://me@host/db",
    "postgres://me@host/db": "postgresql+psycopg2://me@host/db",
    "postgresql+psycopg2:///db": "postgresql+psycopg2:///db",
    "postgresql+psycopg://h/db": "postgresql+psycopg://h/db",
    "mysql+pymysql://h/postgres://": "mysql+pymysql://h/postgres://",
    "http://127.0.0.1:5000": "http://127.0.0.1:5000",
}


@pytest.mark.parametrize("uri", ADDRESSES)
def test_postgres_is_asked_by_the_driver_that_we_install(uri: str) -> None:
    assert with_driver(uri) == ADDRESSES[uri]


@pytest.mark.parametrize("uri", ["postgresql://me:hidden@127.0.0.1:9/x", "mysql://127.0.0.1:9/x"])
def test_a_database_that_is_not_there_or_lacks_its_driver_is_one_message(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "")
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9/x") as error:
        Tracker(uri)
    assert "hidden" not in str(error.value) and "\n" not in str(error.value)


def test_a_databases_password_is_in_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "")
    assert without_password("postgresql://me:a%20b@h/db") == "postgresql://me@h/db"
    assert os.environ["PGPASSWORD"] == "a b"
