"""A benchmark whose rows are encoders of different families, with one command."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow.entities import Run
from rich.console import Console

from mae_core import create_encoder
from mae_core.checkpoints import read_metadata, save_encoder
from pipelines.report.compare import compare
from pipelines.service.flow import mae_full_benchmark
from pipelines.tracking.tracker import Tracker
from tests.tiny import write_configs, write_recipe

NET, OWN = "timm:test_resnet.r160_in1k@random", {"input_size": [64, 64], "crop_pct": 1.0}
ROWS = {"random": None, "pixels": None, "net": NET, "stored": "{stored}"}
TASKS = ("finetune", "evaluate", "knn", "linear-probe", "few-shot")
FEW = [
    "linear-probe.pool=avg",
    "finetune.train_cfg.max_epochs=1",
    "finetune.train_cfg.val_interval=1",
    "finetune.train_dataloader.dataset.per_class=2",
]


class Done(NamedTuple):
    """A benchmark that ran twice, and its kNN once more with the same images for all."""

    folder: Path
    tracker: Tracker
    first: dict[str, Run]
    second: dict[str, Run]
    same: dict[str, Run]


def runs(tracker: Tracker) -> dict[str, Run]:
    found = tracker.client.search_runs([tracker.experiment])
    return {run.info.run_name: run for run in found}


@pytest.fixture(scope="module")
def done(prefect: None, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("families")
    configs = write_configs(folder, images)
    stored = folder / "stored.safetensors"
    own = {**OWN, "interpolation": "bicubic"}
    net = create_encoder("timm:test_efficientnet.r160_in1k", img_size=64)
    save_encoder(stored, net, preprocessing=own)
    rows = {name: spec and spec.format(stored=stored) for name, spec in ROWS.items()}
    recipe = str(write_recipe(configs, TASKS, rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.chdir(folder)
        tracker = Tracker()
        mae_full_benchmark(recipe, str(folder / "work"), FEW, strict=True)
        first = runs(tracker)
        mae_full_benchmark(recipe, str(folder / "work"), FEW, strict=True)
        second = runs(tracker)
        same = ["*.protocol=same"]
        mae_full_benchmark(recipe, str(folder / "same"), same, tasks=["knn"], strict=True)
        yield Done(folder, tracker, first, second, new_runs(tracker, second))


def new_runs(tracker: Tracker, known: dict[str, Run]) -> dict[str, Run]:
    ids = {run.info.run_id for run in known.values()}
    found = tracker.client.search_runs([tracker.experiment])
    return {run.info.run_name: run for run in found if run.info.run_id not in ids}


def report(done: Done) -> list[dict[str, str]]:
    return json.loads((done.folder / "work" / "report" / "report.json").read_text())["rows"]


def test_every_row_has_every_task_that_makes_sense_for_it(done: Done) -> None:
    found = {(row["encoder"], row["task"]) for row in report(done)}
    frozen = {"knn", "linear-probe", "few-shot"}
    trained = frozen | {"fine-tune", "evaluate"}
    expected = {(name, task) for name in ("random", "net", "stored") for task in trained}
    assert found == expected | {("pixels", task) for task in frozen}


def test_all_is_reused_the_second_time(done: Done) -> None:
    ends = [{n: r.info.end_time for n, r in of.items() if "[" in n} for of in done[2:4]]
    assert len(ends[0]) == 18 and ends[0] == ends[1]


def test_features_of_a_row_are_extracted_once(done: Done) -> None:
    """Train and val of four rows, which three tasks share."""
    assert len(list((done.folder / "work" / "stages" / "features").glob("*.npz"))) == 8


def test_what_was_trained_says_how_its_images_were(done: Done) -> None:
    """So that `evaluate` shows it the same; one by a config says nothing."""
    said = {}
    for path in (done.folder / "work" / "stages").glob("finetune-*/classifier.safetensors"):
        about = read_metadata(path)
        said[path.parent.name.split("-")[1]] = about.get("preprocessing", {}).get("input_size")
    assert said == {"random": None, "net": [160, 160], "stored": [64, 64]}
    tops = {row["encoder"]: row["value"] for row in report(done) if row["task"] == "fine-tune"}
    for row in report(done):
        if row["task"] == "evaluate":
            assert row["value"] == tops[row["encoder"]]


def test_the_same_images_for_all_are_another_benchmark(done: Done, tmp_path: Path) -> None:
    ids = [of["tiny"].info.run_id for of in (done.second, done.same)]
    lines = compare(ids, done.tracker, tmp_path / "compared", Console(quiet=True))
    assert lines
    prints = [of["knn[stored]"].data.tags["fingerprint"] for of in (done.second, done.same)]
    assert prints[0] != prints[1]
    path = done.folder / "{}" / "stages"
    shapes = [len(list(Path(str(path).format(one)).glob("knn-*"))) for one in ("work", "same")]
    assert shapes == [4, 4]
