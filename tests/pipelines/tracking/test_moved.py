"""A folder with a local MLflow database is moved or copied."""

import shutil
from pathlib import Path

import pytest

from pipelines.tracking.model_registry import register, versions
from pipelines.tracking.tracker import CHECKPOINT, Tracker

TAGS = {"stage": "pretrain", "encoder": "mae", "recipe": "tiny", "fingerprint": "f"}


@pytest.fixture
def project(tmp_path: Path, empty_database: Path) -> Path:
    """A folder with a database, and a run with a file in each place."""
    folder = tmp_path / "old project"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    tracker = of(folder)
    (tmp_path / "weights").write_text("weights")
    run_id = tracker.start("pretrain[mae]", TAGS)
    tracker.artifact(run_id, tmp_path / "weights")
    tracker.artifact(run_id, tmp_path / "weights", CHECKPOINT)
    register(tracker, run_id, {})
    tracker.end(run_id, "FINISHED")
    return folder


def of(folder: Path) -> Tracker:
    return Tracker(f"sqlite:///{folder}/mlflow.db")


def only_run(tracker: Tracker) -> str:
    first = ["attributes.start_time ASC"]
    run, *_ = tracker.client.search_runs([tracker.experiment], order_by=first)
    return run.info.run_id


def places(tracker: Tracker) -> set[str]:
    """All places of files that the database names."""
    run_id = only_run(tracker)
    found = {tracker.client.get_experiment(tracker.experiment).artifact_location}
    found.add(tracker.client.get_run(run_id).info.artifact_uri)
    return found | {str(version.source) for version in versions(tracker, run_id)}


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_files_are_read_from_and_written_to_the_new_place(
    project: Path, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = {path.relative_to(project) for path in project.rglob("mlartifacts/**/*")}
    new = tmp_path / "new ü place"
    shutil.move(project, new) if how == "moved" else shutil.copytree(project, new)
    tracker = of(new)
    assert f"was moved: the files of its runs are now below {new}/mlartifacts" in caplog.text
    run_id = only_run(tracker)
    run = tracker.get(run_id)
    assert tracker.fetch(run, "weights", tmp_path / "got").read_text() == "weights"
    assert tracker.files(run_id, CHECKPOINT) == [f"{CHECKPOINT}/weights"]
    (tmp_path / "later").write_text("later")
    tracker.artifact(tracker.start("knn[mae]", TAGS), tmp_path / "later")
    assert len(list(new.rglob("later"))) == 1
    assert project.exists() == (how == "copied")
    if how == "copied":
        left = {path.relative_to(project) for path in project.rglob("mlartifacts/**/*")}
        assert left == before
    assert not any(str(project) in place for place in places(of(new)))
    caplog.clear()
    of(new)
    assert not caplog.text


def test_a_place_of_the_users_own_stays(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tmp_path / "disk" / "mlartifacts"
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", chosen.as_uri())
    (tmp_path / "a").mkdir()
    shutil.copy(empty_database, tmp_path / "a" / "mlflow.db")
    tracker = of(tmp_path / "a")
    (tmp_path / "note").write_text("1")
    tracker.artifact(tracker.start("a", TAGS), tmp_path / "note")
    (tmp_path / "a").rename(tmp_path / "b")
    tracker = of(tmp_path / "b")
    assert tracker.fetch(tracker.get(only_run(tracker)), "note", tmp_path / "got").exists()
    assert not (tmp_path / "b" / "mlartifacts").exists()


def test_a_database_that_moved_alone_says_that_files_are_missing(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "new").mkdir()
    shutil.move(project / "mlflow.db", tmp_path / "new" / "mlflow.db")
    shutil.rmtree(project)
    tracker = of(tmp_path / "new")
    assert f"there are none below {tmp_path}/new/mlartifacts" in caplog.text
    (tmp_path / "later").write_text("later")
    tracker.artifact(tracker.start("knn[mae]", TAGS), tmp_path / "later")
    assert not project.exists() and list((tmp_path / "new").rglob("later"))


def test_a_link_to_the_folder_is_no_move(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "link").symlink_to(project)
    before = places(of(project))
    assert places(of(tmp_path / "link")) == before and not caplog.text
