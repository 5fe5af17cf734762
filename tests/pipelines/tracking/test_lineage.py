"""From a number back to the data, through MLflow alone."""

import json
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mmengine.config import Config

from mae_core.data.sources import data_digest
from mae_core.files import digest
from pipelines.report.write import write_report
from pipelines.service.flow import mae_full_benchmark
from pipelines.tracking import lineage
from pipelines.tracking.model_registry import MODEL
from pipelines.tracking.tracker import Tracker
from tests.tiny import write_recipe


@pytest.fixture
def done(prefect: None, configs: Path, tracker: Tracker, tmp_path: Path) -> Path:
    """The report's folder of a benchmark."""
    recipe = write_recipe(configs, ("few-shot", "linear-probe"), ("mae",))
    return Path(str(mae_full_benchmark(str(recipe), str(tmp_path / "work"), strict=True)))


def test_a_few_shot_number_leads_to_the_pretraining_and_its_data(
    done: Path, images: Path, tmp_path: Path
) -> None:
    row = next(
        row
        for row in json.loads((done / "report.json").read_text())["rows"]
        if row["task"] == "few-shot"
    )
    client = MlflowClient()
    run = client.get_run(row["mlflow_run_id"])
    assert run.data.metrics[f"few-shot/{row['metric']}"] == row["value"]

    source = client.get_run(run.data.tags["encoder_run"])
    assert source.data.tags["stage"] == "pretrain"
    stored = client.list_artifacts(source.info.run_id, "checkpoint")
    (tmp_path / "elsewhere").mkdir()
    target = str(tmp_path / "elsewhere")
    checkpoint = client.download_artifacts(source.info.run_id, stored[0].path, target)
    assert digest(checkpoint) == run.data.tags["encoder_digest"]

    read = {data.dataset.name: data for data in source.inputs.dataset_inputs}
    assert read["train"].dataset.digest == data_digest(str(images / "train"))[: lineage.DIGEST]
    assert read["train"].tags[0].value == "train"

    (version,) = client.search_model_versions(f"name = '{MODEL}'")
    assert version.run_id == source.info.run_id
    assert client.get_model_version_by_alias(MODEL, "best-linear").version == version.version

    for one in (run, source):
        assert json.loads(one.data.tags["code"])["hash"]
        assert json.loads(one.data.tags["versions"]).keys() >= {"python", "torch", "timm"}
        assert json.loads(one.data.tags["hardware"])["cores"] > 0

    parent = source.data.tags["mlflow.parentRunId"]
    write_report(parent, Tracker(), tmp_path / "again")
    for name in ("report.json", "report.md"):
        assert (tmp_path / "again" / name).read_text() == (done / name).read_text()


def test_changes_that_are_not_committed_are_part_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config({"stage": "knn"})
    monkeypatch.setattr(lineage, "SOURCE", tmp_path)
    lineage.uncommitted.cache_clear()
    assert lineage.uncommitted() == "" and "commit" not in lineage.code(config)  # no checkout
    (tmp_path / "mae_core").mkdir()
    (tmp_path / "mae_core" / "a.py").write_text("one\n")
    (tmp_path / "secret.txt").write_text("one\n")
    user = ["-c", "user.name=me", "-c", "user.email=me@here"]
    for command in (["init"], ["add", "."], [*user, "commit", "-m", "first"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    (tmp_path / "mae_core" / "a.py").write_text("two\n")
    (tmp_path / "secret.txt").write_text("two\n")
    lineage.uncommitted.cache_clear()
    assert len(lineage.code(config)["commit"]) == 40
    patch = lineage.uncommitted()
    assert "-one\n+two" in patch and "secret" not in patch
    lineage.uncommitted.cache_clear()
    monkeypatch.setattr(lineage, "SOURCE", tmp_path / "mae_core")  # installed within a checkout
    assert lineage.uncommitted() == "" and "commit" not in lineage.code(config)
    lineage.uncommitted.cache_clear()
