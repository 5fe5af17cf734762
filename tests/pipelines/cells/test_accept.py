"""`--accept-code`: trainings of other code, of which nothing else differs."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mae_core import pretrain
from mae_core.checkpoints import read_state
from mae_core.errors import UserError
from mae_core.stage import SilentReporter, StageResult
from pipelines.cells.accept import accept
from pipelines.cells.cell import Cell, cell_folder
from pipelines.cells.folder import accepted_codes, exclusive_lock
from pipelines.cells.job import about
from pipelines.cells.resources import Resources
from pipelines.cells.reuse import restore
from pipelines.cells.run_cell import Setting, run_cell
from pipelines.display import Display
from pipelines.errors import StageFailed
from pipelines.identity import look_again
from pipelines.recipes.recipe import load_stage_config
from pipelines.recipes.single import join_single, run_single
from pipelines.service.flow import mae_full_benchmark
from pipelines.tracking.tracker import Tracker
from tests.faults import arm
from tests.pipelines.conftest import ROOT
from tests.tiny import write_recipe


class Listening(Display):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that counts as code of every stage, and computes nothing."""
    folder = tmp_path / "accepted_lab"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "part.py").write_text("version = 1\n")
    for name in ("accepted_lab", "accepted_lab.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{tmp_path}")
    look_again()
    yield folder / "part.py"
    look_again()


@pytest.fixture
def own(configs: Path, code: Path) -> Path:
    """Configs whose stages read that module."""
    for stage in ("pretrain", "knn"):
        path = configs / f"{stage}.py"
        imports = "['tests.faults', 'accepted_lab.part']"
        path.write_text(f"{path.read_text()}\ncustom_imports = dict(imports={imports})\n")
    return configs


def change(code: Path) -> None:
    """Another code."""
    code.write_text(code.read_text() + "more = 2\n")
    look_again()


def make(configs: Path, stage: str = "pretrain", *overrides: str) -> Cell:
    config = load_stage_config(stage, str(configs / f"{stage}.py"), overrides)
    return Cell(stage, "random", "random", config)


@pytest.fixture
def setting(tmp_path: Path, tracker: Tracker) -> Setting:
    return Setting(tmp_path / "work", tracker, Listening(), "tiny")


def said(setting: Setting) -> str:
    assert isinstance(setting.display, Listening)
    return "\n".join(setting.display.said)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def same(first: StageResult, second: StageResult) -> bool:
    one, other = (read_state(result.artifacts["mae"]) for result in (first, second))
    return all(torch.equal(one[key], other[key]) for key in one)


def test_a_training_goes_on_with_what_other_code_began_and_says_so(
    own: Path, code: Path, setting: Setting, tmp_path: Path
) -> None:
    arm(own / "pretrain.fault", "kill", 23)  # after the save of step 16
    first = make(own)
    with pytest.raises(StageFailed):
        run_cell(first, setting)
    before, old = first.inputs["code"], cell_folder(first, setting.work_dir)
    kept = content(old)
    change(code)
    arm(own / "pretrain.fault", "kill", 10)  # after the save of step 8
    second = make(own)
    with pytest.raises(StageFailed):
        run_cell(second, setting)
    assert "other code: to go on from there, stop this, run the same command with --accept" in said(
        setting
    )

    accepting = replace(setting, accept_code=True)
    outcome = run_cell(make(own), accepting)
    folder = cell_folder(second, setting.work_dir)
    assert outcome.status == "resumed" and f"goes on from {old / 'step_16.pth'}" in said(setting)
    whole = pretrain.run(make(own).config, "random", tmp_path / "whole", SilentReporter())
    assert outcome.result.metrics == whole.metrics and same(outcome.result, whole)
    assert content(old) == kept  # its own code could go on with it
    run = setting.tracker.get(outcome.run_id)
    assert run.accepted_code == before and run.code["stage"] == second.inputs["code"] != before
    assert run.tags["fingerprint"] == second.key
    assert [step for step, _ in setting.tracker.history(run.id, "loss")] == [10, 20, 30, 40, 48]
    assert list(folder.glob("before-*")) and not list(folder.rglob("step_*"))

    again = run_cell(make(own), setting)  # it was accepted here, and is told each time
    assert (again.status, again.run_id) == ("reused", run.id)
    notes: list[str] = []
    other = tmp_path / "elsewhere"
    other.mkdir()
    assert restore(second.key, "random", setting.tracker, other, notes.append) == ""
    assert notes == [f"not reused: the MLflow run {run.id} went on with a training of other code"]


def test_a_finished_pretraining_of_other_code_is_taken_and_a_measurement_is_not(
    own: Path, code: Path, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, knn = run_cell(make(own), setting), run_cell(make(own, "knn"), setting)
    before = make(own).inputs["code"]
    change(code)
    change(code)
    accepting = replace(setting, accept_code=True)
    measured = run_cell(make(own, "knn"), accepting)
    assert measured.status == "run" and measured.run_id != knn.run_id
    assert "which other code has finished" in said(setting)
    with monkeypatch.context() as patch:
        patch.delattr("pipelines.cells.run_cell.launch")
        taken = run_cell(make(own), accepting)
        assert run_cell(make(own), setting).run_id == taken.run_id != first.run_id
    run, old = setting.tracker.get(taken.run_id), setting.tracker.get(first.run_id)
    assert taken.result.metrics == first.result.metrics and same(taken.result, first.result)
    assert run.status == "FINISHED" and run.accepted_code == before
    assert run.code == old.code and run.metrics["pretrain/loss"] == old.metrics["pretrain/loss"]
    assert run.tags["fingerprint"] == make(own).key != old.tags["fingerprint"]
    assert setting.tracker.files(run.id, "checkpoint")
    change(code)  # a third code names the one that trained, not the one that took it
    third = run_cell(make(own), accepting)
    assert setting.tracker.get(third.run_id).accepted_code == before


def begin(cell: Cell, work_dir: Path, step: int, **changes: Any) -> Path:
    """The folder of a training like the cell's, of code 'other', that stopped at a step."""
    folder = cell_folder(cell, work_dir).with_name(f"pretrain-random-{step:016}")
    folder.mkdir(parents=True)
    (folder / f"step_{step}.pth").write_text(str(step))
    known = about(cell)
    known["inputs"] = {**known["inputs"], "code": "other"}
    (folder / "job.json").write_text(json.dumps({**known, **changes}))
    return folder


def taken(cell: Cell, work_dir: Path) -> list[str]:
    folder = cell_folder(cell, work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    accept(cell, folder, lambda text: None)
    return sorted(path.name for path in folder.glob("step_*.pth"))


def test_the_furthest_of_several_is_taken(configs: Path, tmp_path: Path) -> None:
    cell = make(configs)
    for step in (8, 24, 16):
        begin(cell, tmp_path, step)
    assert taken(cell, tmp_path) == ["step_24.pth"]
    assert accepted_codes(cell_folder(cell, tmp_path)) == ["other"]
    begin(cell, tmp_path, 23)
    assert taken(cell, tmp_path) == ["step_24.pth"]  # its own came further


@pytest.mark.parametrize("other", ["settings", "seed", "inputs", "nothing known"])
def test_what_differs_in_more_than_its_code_is_not_taken(
    configs: Path, tmp_path: Path, other: str
) -> None:
    cell = make(configs)
    changes: dict[str, Any] = {"settings": "2", "seed": 7}
    changes["inputs"] = {**cell.inputs, "code": "other", "train_dataloader.dataset.data": "2"}
    folder = begin(cell, tmp_path, 8, **{k: v for k, v in changes.items() if k == other})
    if other == "nothing known":  # of a version that did not note it
        (folder / "job.json").write_text("{}")
    assert taken(cell, tmp_path) == []


def test_what_another_run_works_at_is_not_taken(configs: Path, tmp_path: Path) -> None:
    cell = make(configs)
    with exclusive_lock(begin(cell, tmp_path, 8)):
        assert taken(cell, tmp_path) == []
    assert taken(cell, tmp_path) == ["step_8.pth"]


def test_all_codes_that_a_training_has_gone_through_are_named(
    configs: Path, tmp_path: Path
) -> None:
    cell = make(configs)
    folder = begin(cell, tmp_path, 8)
    (folder / "accepted.json").write_text('{"codes": ["oldest"]}')
    taken(cell, tmp_path)
    assert accepted_codes(cell_folder(cell, tmp_path)) == ["oldest", "other"]


def test_a_damaged_result_of_other_code_is_not_taken(
    own: Path, code: Path, setting: Setting
) -> None:
    finished = run_cell(make(own, "pretrain", "train_cfg.max_epochs=1"), setting)
    checkpoint = Path(str(finished.result.checkpoint))
    data = bytearray(checkpoint.read_bytes())
    data[-9] ^= 1
    checkpoint.write_bytes(data)
    change(code)
    cell = make(own, "pretrain", "train_cfg.max_epochs=1")
    folder = cell_folder(cell, setting.work_dir)
    folder.mkdir()
    accept(cell, folder, setting.display.say)
    assert not list(folder.iterdir()) and "is damaged" in said(setting)


def test_nothing_is_claimed_of_a_training_whose_accepted_state_is_gone(
    own: Path, setting: Setting
) -> None:
    cell = make(own, "pretrain", "train_cfg.max_epochs=1")
    folder = cell_folder(cell, setting.work_dir)
    folder.mkdir(parents=True)
    (folder / "accepted.json").write_text('{"codes": ["other"]}')
    outcome = run_cell(cell, setting)
    assert outcome.status == "run"
    assert setting.tracker.get(outcome.run_id).accepted_code == ""


def test_flags_that_contradict_each_other_are_refused(own: Path, tracker: Tracker) -> None:
    call = ("pretrain", str(own / "pretrain.py"), "random", None, [])
    with pytest.raises(UserError, match="leave one of them out"):
        run_single(*call, fresh=True, accept_code=True)
    with pytest.raises(UserError, match="--accept-code goes with the command that runs"):
        join_single(*call, Resources(nodes=2, rendezvous="host:29500"), accept_code=True)


def test_a_benchmark_accepts_and_its_report_says_what(
    prefect: None, own: Path, code: Path, tracker: Tracker, tmp_path: Path
) -> None:
    recipe = str(write_recipe(own, ("knn",), ("mae",)))
    mae_full_benchmark(recipe, str(tmp_path / "work"), strict=True)
    before = make(own).inputs["code"]
    change(code)
    mae_full_benchmark(recipe, str(tmp_path / "work"), strict=True, accept_code=True)
    report = json.loads((tmp_path / "work" / "report" / "report.json").read_text())
    assert report["reproduce"]["accepted code"] == f"{before} in pretrain[mae]"
    assert [one.get("accepted_code") for one in report["stages"]] == [before, None]
    assert f"accepted code: {before} in pretrain" in (
        tmp_path / "work" / "report" / "report.md"
    ).read_text().replace("\\", "")
    shutil.rmtree(tmp_path / "work")
