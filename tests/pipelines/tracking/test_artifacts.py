import hashlib
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from mae_core import UserError
from pipelines.tracking.artifacts import SHA256, Damaged, StoreError, store_errors, within
from pipelines.tracking.tracker import Tracker


@pytest.fixture
def run_id(tracker: Tracker) -> str:
    return tracker.start("a", {"stage": "knn"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(b"content")
    return path


def place(tracker: Tracker, run_id: str) -> Path:
    """Where MLflow keeps a run's files."""
    return Path(str(tracker.client.get_run(run_id).info.artifact_uri).removeprefix("file://"))


@pytest.mark.parametrize("folder", ["", "report", "report/figures"])
def test_a_file_comes_back_from_the_place_where_it_was_put(
    tracker: Tracker, run_id: str, file: Path, tmp_path: Path, folder: str
) -> None:
    tracker.artifact(run_id, file, folder)
    name = f"{folder}/picture.png".strip("/")
    assert tracker.files(run_id, folder) == [name]
    run = tracker.get(run_id)
    expected = f"{hashlib.sha256(b'content').hexdigest()} 7"
    assert run.tags[SHA256 + name] == expected
    (tmp_path / "back").mkdir()
    found = tracker.fetch(run, name, tmp_path / "back")
    assert found == tmp_path / "back" / name and found.read_bytes() == b"content"


def test_a_file_is_sent_again_only_if_its_content_is_new(
    tracker: Tracker, run_id: str, file: Path
) -> None:
    tracker.artifact(run_id, file)
    kept = place(tracker, run_id) / "picture.png"
    kept.write_bytes(b"not sent again")
    tracker.artifact(run_id, file)
    assert kept.read_bytes() == b"not sent again"
    file.write_bytes(b"other")
    tracker.artifact(run_id, file)
    assert kept.read_bytes() == b"other"


@pytest.mark.parametrize("content", [b"", b"contenT", b"content\n"])
def test_a_file_that_was_damaged_is_not_handed_out(
    tracker: Tracker, run_id: str, file: Path, tmp_path: Path, content: bytes
) -> None:
    tracker.artifact(run_id, file)
    (place(tracker, run_id) / "picture.png").write_bytes(content)
    (tmp_path / "back").mkdir()
    with pytest.raises(Damaged, match=f"'picture.png' of the MLflow run '{run_id}' is damaged"):
        tracker.fetch(tracker.get(run_id), "picture.png", tmp_path / "back")
    assert not list((tmp_path / "back").iterdir())


@pytest.mark.parametrize("name", ["../picture.png", "/etc/hostname", "a/../../x", "", "."])
def test_a_name_that_leads_out_of_the_folder_is_refused(
    tracker: Tracker, run_id: str, tmp_path: Path, name: str
) -> None:
    with pytest.raises(Damaged, match="names a file outside of its folder"):
        tracker.fetch(tracker.get(run_id), name, tmp_path)


def test_a_link_in_the_store_is_no_way_into_the_work_dir(
    tracker: Tracker, run_id: str, file: Path, tmp_path: Path
) -> None:
    tracker.artifact(run_id, file)
    stored, secret = place(tracker, run_id) / "picture.png", tmp_path / "secret"
    secret.write_text("of another one")
    stored.unlink()
    stored.symlink_to(secret)
    (tmp_path / "back").mkdir()
    with pytest.raises(MlflowException, match=r"'picture\.png' of the MLflow run .* outside"):
        tracker.fetch(tracker.get(run_id), "picture.png", tmp_path / "back")
    assert not list((tmp_path / "back").iterdir()) and secret.read_text() == "of another one"


def test_a_missing_file_is_an_error(tracker: Tracker, run_id: str, tmp_path: Path) -> None:
    with pytest.raises(MlflowException):
        tracker.fetch(tracker.get(run_id), "picture.png", tmp_path)


def test_links_are_followed_to_see_what_is_within(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "out").symlink_to(tmp_path)
    assert within(tmp_path / "inside" / "new" / "file", tmp_path / "inside")
    assert within(tmp_path / "inside" / "new" / ".." / "file", tmp_path / "inside")
    assert not within(tmp_path / "inside" / "out" / "file", tmp_path / "inside")
    assert not within(tmp_path / "inside", tmp_path / "inside")


def test_a_store_s_own_errors_are_mlflows_and_those_of_the_disk_stay() -> None:
    with pytest.raises(StoreError, match="the bucket is gone"), store_errors():
        raise RuntimeError("the bucket is gone")
    with pytest.raises(FileNotFoundError), store_errors():
        Path("nowhere").read_bytes()
    with pytest.raises(UserError, match=r"boto3.*mae-bench\[services\]"), store_errors():
        raise ModuleNotFoundError("No module named 'boto3'")


@pytest.mark.parametrize(
    "name", ["epoch=9-step=1000.png", "a,b.png", "a(1)+@.png", "ä.png", "a" * 245 + ".png"]
)
def test_a_file_of_any_name_is_sent_and_checked(
    tracker: Tracker, run_id: str, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"content")
    tracker.artifact(run_id, tmp_path / name, "report")
    run = tracker.get(run_id)
    found = tracker.fetch(run, f"report/{name}", tmp_path / "back")
    assert found.read_bytes() == b"content"
    (place(tracker, run_id) / "report" / name).write_bytes(b"other")
    with pytest.raises(Damaged):
        tracker.fetch(run, f"report/{name}", tmp_path / "back")
