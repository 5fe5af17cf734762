"""Artifacts in an S3-compatible store: written by us, or by an MLflow server for us."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from moto.server import ThreadedMotoServer

from benchmarks.servers import MLflowServer, free_port
from mae_core import UserError
from pipelines.cells.cell import Cell
from pipelines.cells.launch import stopping_on_error
from pipelines.cells.run_cell import Outcome, Setting, run_cell
from pipelines.display import Display
from pipelines.recipes.recipe import load_stage_config
from pipelines.report.collect import collect
from pipelines.tracking.encoders import Lookup
from pipelines.tracking.patience import Undelivered, patiently
from pipelines.tracking.tracker import Tracker
from tests.tiny import write_configs


class Done(NamedTuple):
    """A finished fine-tuning whose files are in the bucket."""

    cell: Cell
    setting: Setting
    outcome: Outcome
    bucket: Any


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """An empty bucket of a server on this machine."""
    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "tester")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        store = boto3.resource("s3", endpoint_url=f"http://127.0.0.1:{port}")
        yield store.create_bucket(Bucket="benchmarks")
    server.stop()


@pytest.fixture(scope="module", params=["written by us", "behind a server"])
def uri(
    request: pytest.FixtureRequest,
    bucket: Any,
    empty_database: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The address of an MLflow that keeps its files in the bucket."""
    folder, place = tmp_path_factory.mktemp("tracking"), f"s3://{bucket.name}/lab"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "written by us":
            patch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", place)
            yield f"sqlite:///{shutil.copy(empty_database, folder / 'mlflow.db')}"
            return
        shutil.copy(empty_database, folder / "server.db")
        server = MLflowServer(folder, "--artifacts-destination", place)
        yield server.url
        server.kill()


@pytest.fixture(scope="module")
def done(
    uri: str, bucket: Any, images: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("done")
    configs = write_configs(folder / "configs", images)
    config = load_stage_config("finetune", str(configs / "finetune.py"), [])
    cell = Cell("finetune", "random", "random", config)
    with pytest.MonkeyPatch.context() as patch, stopping_on_error():
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        setting = Setting(folder / "work", Tracker(), Display(), "tiny")
        yield Done(cell, setting, run_cell(cell, setting), bucket)
    bucket.objects.all().delete()


def stored(done: Done) -> dict[str, Any]:
    """The objects of the run, by their names in it."""
    root = f"{done.outcome.run_id}/artifacts/"
    return {one.key.partition(root)[2]: one for one in done.bucket.objects.all() if root in one.key}


def test_all_files_of_a_stage_are_in_the_bucket(done: Done) -> None:
    names = stored(done).keys()
    checkpoint = f"checkpoint/{Path(str(done.outcome.result.checkpoint)).name}"
    assert names >= {"config.py", "log.txt", "result.json", "outcomes.npz", checkpoint}
    assert set(done.setting.tracker.files(done.outcome.run_id)) == names - {checkpoint}


def test_an_empty_work_dir_gets_the_result_from_the_bucket(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("pipelines.cells.run_cell.launch")
    again = run_cell(done.cell, replace(done.setting, work_dir=tmp_path))
    assert (again.status, again.run_id) == ("reused", done.outcome.run_id)
    assert again.result.metrics == done.outcome.result.metrics
    for before, after in (
        (done.outcome.result.checkpoint, again.result.checkpoint),
        (done.outcome.result.artifacts["outcomes"], again.result.artifacts["outcomes"]),
    ):
        assert Path(str(after)).read_bytes() == Path(str(before)).read_bytes()
        assert Path(str(after)).is_relative_to(tmp_path)


def test_the_report_is_read_from_the_bucket(done: Done) -> None:
    tracker, run_id = done.setting.tracker, done.outcome.run_id
    parent = tracker.start("tiny", {"recipe": "tiny", "encoders": json.dumps(["random"])})
    tracker.tag(parent, cells=json.dumps({done.cell.name: run_id}))
    found = collect(parent, tracker)
    row = found.value("random", "fine-tune/top1")
    assert row is not None and row.value == done.outcome.result.metrics["fine-tune/top1"].value
    assert found.outcomes["random", "fine-tune/top1"].shape


def test_a_damaged_object_is_no_encoder_and_a_whole_one_is(done: Done) -> None:
    name = f"checkpoint/{Path(str(done.outcome.result.checkpoint)).name}"
    one = stored(done)[name]
    whole = one.get()["Body"].read()
    one.put(Body=whole[:-1])
    with pytest.raises(UserError, match=f"'{name}' of the MLflow run .* is damaged"):
        Lookup().encoder(f"runs:/{done.outcome.run_id}")
    one.put(Body=whole)
    assert Path(Lookup().encoder(f"runs:/{done.outcome.run_id}").path).read_bytes() == whole


def test_a_store_that_refuses_is_told_at_once(
    bucket: Any, tracker: Tracker, tmp_path: Path
) -> None:
    lost = tracker.client.create_experiment("lost", artifact_location="s3://no-such-bucket")
    run_id = tracker.client.create_run(lost).info.run_id
    (tmp_path / "file").write_text("content")
    with pytest.raises(Undelivered, match=r"refuses: .*NoSuchBucket"):
        patiently(lambda: tracker.artifact(run_id, tmp_path / "file"), tracker.place)
