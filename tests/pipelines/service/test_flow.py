import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow.entities import Run
from prefect.client.orchestration import get_client
from rich.console import Console

from mae_core.config import load_config
from mae_core.errors import UserError
from mae_core.files import digest
from mae_core.stage import StageResult
from pipelines.cells.folder import BENCHMARK_LOCK, exclusive_lock, set_aside
from pipelines.errors import BenchmarkFailed
from pipelines.identity import data_digests
from pipelines.recipes.recipe import handed_over, load_recipe
from pipelines.report.compare import compare
from pipelines.service.flow import check_same_data, mae_full_benchmark
from pipelines.service.prefect_names import FLOW_NAME
from pipelines.tracking import model_registry
from pipelines.tracking.model_registry import MODEL, register
from pipelines.tracking.tracker import Tracker
from tests.faults import arm
from tests.tiny import write_configs, write_encoder, write_recipe

CELLS = ["finetune[mae]", "finetune[random]", "pretrain[mae]"]


class Done(NamedTuple):
    """A benchmark whose fine-tuning of the first encoder broke, and what a second call made."""

    folder: Path
    tracker: Tracker
    error: str
    first: dict[str, Run]
    first_report: dict[str, object]
    second: dict[str, Run]


@pytest.fixture(scope="module")
def done(prefect: None, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("flow")
    configs = write_configs(folder, images)
    recipe = str(write_recipe(configs, ("finetune",), ("mae", "random")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.chdir(folder)
        tracker = Tracker()
        arm(folder / "finetune.fault", "raise", 20)
        with pytest.raises(BenchmarkFailed) as error:
            mae_full_benchmark(recipe, str(folder / "work"), strict=True)
        first, report = cells(tracker), report_of(folder)
        mae_full_benchmark(recipe, str(folder / "work"))
        yield Done(folder, tracker, str(error.value), first, report, cells(tracker))


def report_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "work" / "report" / "report.json").read_text())


def cells(tracker: Tracker) -> dict[str, Run]:
    """The MLflow runs by name."""
    found = tracker.client.search_runs([tracker.experiment])
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def names(report: dict[str, object]) -> list[tuple[str, str]]:
    return [(row["encoder"], row["task"]) for row in report["rows"]]


def test_a_failing_cell_leaves_the_others_and_the_report(done: Done) -> None:
    states = {name: run.info.status for name, run in done.first.items()}
    (broken,) = (name for name in CELLS if states[name] == "FAILED")
    assert broken.startswith("finetune")
    assert all(states[name] == "FINISHED" for name in CELLS if name != broken)
    assert states["tiny"] == "FAILED"
    assert len(names(done.first_report)) == 1
    assert done.error.splitlines()[-1] == f"{broken}: RuntimeError: the device is gone"


def test_the_same_call_again_finishes_what_is_missing_and_reuses_the_rest(done: Done) -> None:
    assert {run.info.status for run in done.second.values()} == {"FINISHED"}
    ids = [{name: run.info.run_id for name, run in r.items()} for r in (done.first, done.second)]
    assert ids[0] == ids[1]
    for name, run in done.first.items():
        if run.info.status == "FINISHED":
            assert done.second[name].info.end_time == run.info.end_time


def test_the_report_shows_the_numbers_of_mlflow(done: Done) -> None:
    report = report_of(done.folder)
    assert names(report) == [("mae", "fine-tune"), ("random", "fine-tune")]
    for row in report["rows"]:
        run = done.tracker.client.get_run(row["mlflow_run_id"])
        key = f"{row['task']}/{row['metric']}"
        assert row["value"] == run.data.metrics[key]
        assert row["ci95"] == run.data.metrics[f"{key}_ci95"]
        assert run.data.tags["encoder"] == row["encoder"]
    stored = done.tracker.client.list_artifacts(done.second["tiny"].info.run_id, "report")
    assert {"report/report.html", "report/report.json"} <= {file.path for file in stored}


def test_every_cell_is_tagged_and_lies_under_the_benchmark(done: Done) -> None:
    parent = done.second["tiny"]
    assert sorted(json.loads(parent.data.tags["cells"])) == CELLS
    for name in CELLS:
        tags = done.second[name].data.tags
        assert f"{tags['stage']}[{tags['encoder']}]" == name
        assert tags["recipe"] == "tiny"
        assert len(tags["fingerprint"]) == 16
        assert tags["mlflow.parentRunId"] == parent.info.run_id


def test_the_pretrained_row_starts_from_the_pretrained_encoder(done: Done) -> None:
    (checkpoint,) = (done.folder / "work" / "stages").glob("pretrain-*/encoder.safetensors")
    assert done.second["finetune[mae]"].data.tags["encoder_digest"] == digest(checkpoint)
    assert done.second["finetune[random]"].data.tags["encoder_digest"] == "random"


def test_prefect_shows_each_cell_and_which_were_reused(done: Done) -> None:
    with get_client(sync_client=True) as client:
        runs = {run.id: run for run in client.read_flow_runs()}
        tasks = client.read_task_runs()
        flows = {flow.id: flow.name for flow in client.read_flows()}
    states = [
        {task.name: task.state.name for task in tasks if task.flow_run_id == run_id}
        for run_id, run in sorted(runs.items(), key=lambda item: item[1].start_time)
        if flows[run.flow_id] == FLOW_NAME and run.name == str(done.folder / "tiny.py")
    ]
    assert len(states) == 2
    assert all(s.keys() >= set(CELLS) for s in states)
    assert sorted(states[1][name] for name in CELLS) == ["Cached"] * 2 + ["Completed"]


def test_who_only_waits_for_a_benchmark_closes_none_of_its_runs(
    prefect: None, configs: Path, tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = str(write_recipe(configs, ("knn",), ("random",)))
    parent = tracker.start("tiny", {"stage": "benchmark"})
    child = tracker.start("knn[random]", {"stage": "knn"}, parent)
    work, before = tmp_path / "work", load_recipe(recipe).key
    work.mkdir()
    known = json.dumps({"recipe": before, "run_id": parent})
    (work / "benchmark.json").write_text(known)
    (work / "stages").mkdir()

    def interrupt() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.cells.folder.stopping", interrupt)  # asked while it waits
    for fresh in (False, True):
        with exclusive_lock(work, name=BENCHMARK_LOCK), pytest.raises(KeyboardInterrupt):
            mae_full_benchmark(recipe, str(work), fresh=fresh)
        with exclusive_lock(work, shared=True), pytest.raises(KeyboardInterrupt):
            set_aside(work, print)
    for run_id in (parent, child):
        assert tracker.client.get_run(run_id).info.status == "RUNNING"
    assert (work / "benchmark.json").read_text() == known and (work / "stages").exists()
    assert len(tracker.client.search_runs([tracker.experiment])) == 2


def test_data_that_differs_from_what_was_checked_is_refused(configs: Path, images: Path) -> None:
    config = load_config(str(configs / "knn.py"))
    digests = data_digests(config)
    check_same_data(config, digests)
    changed = digests | {f"{images}/train": "0" * 64}
    with pytest.raises(UserError, match=f"{images}/train on .* differs"):
        check_same_data(config, changed)


def test_a_failed_pretraining_costs_its_own_row_alone(
    prefect: None, configs: Path, tracker: Tracker, tmp_path: Path
) -> None:
    recipe = write_recipe(configs, ("knn",), ("mae", "random"))
    arm(configs / "pretrain.fault", "raise", 1)
    with pytest.raises(BenchmarkFailed) as error:
        mae_full_benchmark(str(recipe), str(tmp_path / "work"), strict=True)
    states = {name: run.info.status for name, run in cells(tracker).items()}
    assert states == {"tiny": "FAILED", "pretrain[mae]": "FAILED", "knn[random]": "FINISHED"}
    assert names(report_of(tmp_path)) == [("random", "knn")]
    assert str(error.value).endswith(
        "pretrain[mae]: RuntimeError: the device is gone\n"
        "knn[mae]: not run, as it needs the encoder of pretrain[mae]"
    )
    page = (tmp_path / "work" / "report" / "report.md").read_text()
    assert "pretrain[mae] failed:** StageFailed: the stage's process ended with code 1" in page


def test_the_row_supervised_and_evaluate_take_what_other_cells_make(
    prefect: None, configs: Path, images: Path, tracker: Tracker, tmp_path: Path
) -> None:
    recipe = write_recipe(configs, ("evaluate", "finetune", "knn"), ("random", "supervised"))
    added = f"supervised = '{configs / 'supervise.py'}'\nrepeats = dict(knn=2)\n"
    recipe.write_text(recipe.read_text() + added)
    mae_full_benchmark(str(recipe), str(tmp_path / "work"))
    found = cells(tracker)
    made = {name: run.data.tags.get("encoder_digest") for name, run in found.items()}
    assert made["supervise[supervised]"] == made["knn[random]"] == made["knn[random]#1"] == "random"
    assert "finetune[supervised]" not in found  # which is what finetune[random] is
    for taker, maker, row in (
        ("knn", "supervise", "supervised"),
        ("evaluate", "finetune", "random"),
    ):
        run, source = found[f"{taker}[{row}]"], found[f"{maker}[{row}]"]
        assert run.data.tags["encoder_run"] == source.info.run_id
        (checkpoint,) = (tmp_path / "work" / "stages").glob(
            f"{maker}-{row}-*/classifier.safetensors"
        )
        assert made[f"{taker}[{row}]"] == digest(checkpoint)
    report = report_of(tmp_path)
    tuned = [row for row in report["rows"] if row["task"] == "fine-tune"]
    assert [row["encoder"] for row in tuned] == ["random", "supervised"]
    assert len({row["mlflow_run_id"] for row in tuned}) == 1
    repeated = next(
        r
        for r in report["rows"]
        if (r["encoder"], r["metric"]) == ("random", "top1") and r["task"] == "knn"
    )
    assert [seed["seed"] for seed in repeated["seeds"]] == [0, 1]
    values = [seed["value"] for seed in repeated["seeds"]]
    assert repeated["value"] == pytest.approx(sum(values) / 2) and repeated["ci95"] > 0
    page = (tmp_path / "work" / "report" / "report.md").read_text()
    shown = [f"{100 * value:.1f} (seed {seed})" for seed, value in enumerate(values)]
    assert f"- kNN, top-1, random: {', '.join(shown)}" in page
    compared = {(c["task"], c["baseline"]) for c in report["comparisons"] if c["p"] is not None}
    assert {
        ("fine-tune", "supervised"),
        ("knn", "supervised"),
        ("evaluate", "supervised"),
    } <= compared
    for encoder in ("random", "supervised"):  # the same classifier on the same images
        values = [
            row["value"]
            for row in report["rows"]
            if row["encoder"] == encoder and row["task"] in ("fine-tune", "evaluate")
        ]
        assert len(values) == 2 and values[0] == values[1]


def test_a_stage_whose_process_failed_is_tried_again(
    prefect: None, configs: Path, tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.service.flow.RETRY_AFTER", 0)
    recipe = write_recipe(configs, ("finetune",), ("random",))
    recipe.write_text(recipe.read_text() + "retries = 1\n")
    arm(configs / "finetune.fault", "raise", 9)
    mae_full_benchmark(str(recipe), str(tmp_path / "work"))
    (run,) = (run for name, run in cells(tracker).items() if name == "finetune[random]")
    assert run.info.status == "FINISHED" and "error" not in run.data.tags


def test_fresh_computes_again_and_keeps_what_was(
    prefect: None, configs: Path, images: Path, tracker: Tracker, tmp_path: Path
) -> None:
    recipe = write_recipe(configs, ("knn", "few-shot"), ("random",))
    config = configs / "knn.py"
    config.write_text(config.read_text().replace(str(images), "below"))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "below").symlink_to(images)
    call = {"recipe": str(recipe), "work_dir": str(tmp_path / "work"), "tasks": ["knn"], "seed": 5}
    mae_full_benchmark(**call, data_root=str(tmp_path / "root"))
    mae_full_benchmark(**call, data_root=str(tmp_path / "root"), fresh=True)
    (aside,) = (tmp_path / "work").glob("stages-before-*/knn-random-*")
    (again,) = (tmp_path / "work").glob("stages/knn-random-*")
    assert (aside / "result.json").read_text() == (again / "result.json").read_text()
    found = tracker.client.search_runs([tracker.experiment])
    knn = [run for run in found if run.info.run_name == "knn[random]"]
    assert len(knn) == 2 and {run.data.tags["seed"] for run in knn} == {"5"}
    assert {run.info.run_name for run in found} == {"tiny", "knn[random]"}


def test_encoders_of_mlflow_are_looked_for_once_where_the_flow_logs_to(
    prefect: None,
    configs: Path,
    tracker: Tracker,
    empty_database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "other").mkdir()
    other = Tracker(f"sqlite:///{shutil.copy(empty_database, tmp_path / 'other' / 'mlflow.db')}")
    made = []
    for number in range(2):
        path = write_encoder(tmp_path / f"{number}.safetensors")
        made.append(run_id := other.start(f"pretrain[{number}]", {"stage": "pretrain"}))
        register(other, run_id, {})
        other.finish(run_id, StageResult({}, path))
    asked = []
    really = model_registry.run_of_model

    def counted(spec: str, store: Tracker) -> str:
        asked.append(spec)
        return really(spec, store)

    monkeypatch.setattr(model_registry, "run_of_model", counted)
    rows = (f"models:/{MODEL}/latest", f"runs:/{made[0]}")
    recipe = write_recipe(configs, ("knn", "few-shot"), rows)
    mae_full_benchmark(str(recipe), str(tmp_path / "work"), strict=True, tracking_uri=other.uri)
    assert asked == [rows[0]]
    found = cells(other)
    for task in ("knn", "few-shot"):
        for number, row in ((1, rows[0]), (0, rows[1])):
            tags = found[f"{task}[{row}]"].data.tags
            assert tags["encoder_run"] == made[number]
            assert tags["encoder_digest"] == digest(tmp_path / f"{number}.safetensors")
    assert cells(tracker) == {}
    with pytest.raises(UserError, match="no registered model"):
        load_recipe(str(recipe))


def test_a_recipe_that_the_command_line_has_checked_is_not_read_again(
    prefect: None, configs: Path, tracker: Tracker, tmp_path: Path
) -> None:
    recipe = write_recipe(configs, ("knn",), ("random",))
    plan = load_recipe(str(recipe))
    recipe.unlink()
    with handed_over(str(recipe), [], plan):
        mae_full_benchmark(str(recipe), str(tmp_path / "work"), strict=True)
    assert names(report_of(tmp_path)) == [("random", "knn")]


def test_two_pretrainings_are_two_rows_of_one_benchmark(
    prefect: None, configs: Path, tracker: Tracker, tmp_path: Path
) -> None:
    (configs / "other.py").write_text(
        f"_base_ = ['{configs / 'pretrain.py'}']\nmae = dict(norm_pix_loss=False)\n"
    )
    rows = {
        "mae": str(configs / "pretrain.py"),
        "raw": str(configs / "other.py"),
        "random": None,
        "mine": write_encoder(tmp_path / "own.safetensors"),
    }
    recipe = str(write_recipe(configs, ("knn",), rows))
    shorter = ["pretrain[raw].train_cfg.max_epochs=3"]
    for work, changes in (("work", []), ("again", shorter)):
        mae_full_benchmark(recipe, str(tmp_path / work), changes, strict=True)
    below = (tmp_path / "work" / "stages").glob("*-*")
    assert sorted(path.name.rpartition("-")[0] for path in below) == sorted(
        [*(f"knn-{row}" for row in rows), "pretrain-mae", "pretrain-raw"]
    )
    found = tracker.find(stage="benchmark")
    second, first = (run.id for run in found)
    tags = {
        name: tracker.get(run_id).tags
        for name, run_id in json.loads(found[1].tags["cells"]).items()
    }
    assert len({tags[f"pretrain[{row}]"]["fingerprint"] for row in ("mae", "raw")}) == 2
    assert len({tags[f"knn[{row}]"]["encoder_digest"] for row in rows}) == 4
    assert tags["knn[mine]"]["encoder_spec"] == rows["mine"]

    report = report_of(tmp_path)
    assert {row["encoder"] for row in report["rows"] if row["task"] == "knn"} == {*rows}
    assert {one["baseline"] for one in report["comparisons"]} == {"random", "raw", "mine"}
    folder = tmp_path / "work" / "report"
    lines = (folder / "report.md").read_text().splitlines()
    groups = {
        line.split(" | ")[0]: line.split(" | ")[1] for line in lines if " | vit-micro-p6" in line
    }
    assert groups == {
        "| mae": "Pretrained here",
        "| raw": "Pretrained here",
        "| mine": "Weights from elsewhere",
        "| random": "Baselines",
    }
    assert (folder / "loss.png").exists()
    assert {path.stem for path in folder.glob("pretrain-*.png")} == {
        f"pretrain-reconstruction-{row}" for row in ("mae", "raw")
    }

    compare([first, second], tracker, tmp_path / "compared", Console(quiet=True))
    differing = json.loads((tmp_path / "compared" / "compare.json").read_text())["config"]
    assert [(one["stage"], one["key"]) for one in differing] == [
        ("pretrain[raw]", "train_cfg.max_epochs")
    ]
