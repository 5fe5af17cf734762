import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mae_core import UserError
from pipelines.cells.cell import Cell
from pipelines.cells.launch import stopping_on_error
from pipelines.cells.run_cell import Setting, run_cell
from pipelines.display import Display
from pipelines.errors import StageFailed
from pipelines.recipes import plan as planning
from pipelines.recipes.dry_run import Trial, _Watch, resident
from pipelines.recipes.plan import Item, plan
from pipelines.recipes.recipe import load_recipe
from pipelines.tracking.tracker import Tracker
from tests.downstream.conftest import scenes  # noqa: F401  a fixture
from tests.faults import arm
from tests.tiny import CONFIGS, ENCODER, write_recipe

EPOCH = 8  # steps


@pytest.fixture
def recipe(configs: Path) -> str:
    return str(write_recipe(configs, ("finetune", "knn"), ("mae", "random")))


def show(recipe: str, folder: Path, *overrides: str) -> tuple[list[Item], str]:
    console = Console(width=140, record=True)
    with stopping_on_error():
        items = plan(load_recipe(recipe, overrides), folder, None, console)
    return items, console.export_text()


def test_a_plan_times_every_stage_and_leaves_nothing_behind(recipe: str, tmp_path: Path) -> None:
    items, text = show(recipe, tmp_path / "work")
    assert [item.cell.name for item in items] == [
        "pretrain[mae]",
        "finetune[mae]",
        "knn[mae]",
        "finetune[random]",
        "knn[random]",
    ]
    trial = items[0].trial
    assert trial is not None and (trial.unit, trial.total) == ("step", 6 * EPOCH)
    assert trial.seconds > 0 and trial.memory > 1e8 and trial.checkpoint > 1e4
    assert all(item.status == "run" for item in items)
    assert "48 steps" in text and "in all on this machine" in text
    assert list((tmp_path / "work").iterdir()) == []


def test_a_plan_knows_what_is_done_and_what_is_half_done(
    recipe: str, configs: Path, tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting(tmp_path / "work", tracker, Display(), "tiny")
    tried: list[str] = []
    known = Trial("step", 6 * EPOCH, 0.5, 1, 1)
    monkeypatch.setattr(
        planning, "time_first_steps", lambda cell, *_: tried.append(cell.stage) or known
    )
    cell = Cell("pretrain", "mae", "random", load_recipe(recipe).configs["pretrain"])
    arm(configs / "pretrain.fault", "kill", 3 * EPOCH + 1)
    with pytest.raises(StageFailed):
        run_cell(cell, setting)
    items, text = show(recipe, setting.work_dir)
    assert items[0].status == "resume at step 24" and items[0].share == 0.5
    assert items[0].hours == pytest.approx(24 * 0.5 / 3600)
    assert "12 s" in text

    source = run_cell(cell, setting).result.checkpoint
    assert source is not None
    run_cell(Cell("knn", "mae", source, load_recipe(recipe).configs["knn"]), setting)
    tried.clear()
    items, _ = show(recipe, setting.work_dir)
    assert [item.status for item in items] == ["reuse", "run", "reuse", "run", "run"]
    assert tried == ["finetune", "finetune", "knn"]  # from an encoder, and from scratch


def test_a_plan_times_again_what_is_damaged_and_what_takes_it(
    configs: Path, tracker: Tracker, tmp_path: Path
) -> None:
    """A run would compute it again, so a damaged encoder is no reason to refuse."""
    recipe = str(write_recipe(configs, ("knn",), ("mae",)))
    setting = Setting(tmp_path / "work", tracker, Display(), "tiny")
    cell = Cell("pretrain", "mae", "random", load_recipe(recipe).configs["pretrain"])
    source = run_cell(cell, setting).result.checkpoint
    assert source is not None
    Path(source).write_bytes(bytes(Path(source).stat().st_size))
    items, text = show(recipe, setting.work_dir)
    assert [(item.cell.name, item.status) for item in items] == [
        ("pretrain[mae]", "run"),
        ("knn[mae]", "run"),
    ]
    assert all(item.hours for item in items)
    assert f"{source} is damaged" in text


def test_a_plan_tries_from_scratch_apart_and_no_classifier_that_is_not_there(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recipe(configs, ("evaluate", "finetune", "knn"), ("mae", "random", "supervised"))
    added = f"supervised = '{configs / 'supervise.py'}'\nrepeats = dict(knn=2)\n"
    path.write_text(path.read_text() + added)
    tried: list[tuple[str, str]] = []

    def time_first_steps(cell: Cell, *_: object) -> Trial:
        tried.append((cell.stage, cell.source))
        return Trial("step", 10, 0.1, 1, 1)

    monkeypatch.setattr(planning, "time_first_steps", time_first_steps)
    items, text = show(str(path), tmp_path)
    assert tried == [
        ("pretrain", "random"),
        ("supervise", "random"),
        ("finetune", "random"),  # in place of the encoder that is not there yet
        ("knn", "random"),
        ("finetune", "random"),  # from scratch
    ]
    unknown = ["evaluate[mae]", "evaluate[random]"]
    assert [item.cell.name for item in items if item.hours is None] == unknown
    assert f"unknown, and not counted: {', '.join(unknown)}" in text
    assert "random #1" in text


def test_a_plan_tries_random_weights_in_their_own_recipe(
    configs: Path,
    scenes: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not the weights that only stand in for others."""
    (base,) = (CONFIGS / "segment").glob("*_demo.py")
    (configs / "segment.py").write_text(
        f"_base_ = [{str(base)!r}]\nencoder = {ENCODER}\ndata_root = {str(scenes)!r}\n"
        "model = dict(backbone=dict(layers=[0]))\n"
        "val_data = dict(images='val', masks='val_masks')\n"
    )
    recipe = str(write_recipe(configs, ("segment",), ("mae", "random")))
    tried: list[tuple[str, bool]] = []

    def time_first_steps(cell: Cell, *_: object) -> Trial:
        tried.append((cell.name, "scratch" in cell.config))
        return Trial("step", 10, 0.1, 1, 1)

    monkeypatch.setattr(planning, "time_first_steps", time_first_steps)
    show(recipe, scenes / "work")
    assert tried == [
        ("pretrain[mae]", False),
        ("segment[mae]", False),
        ("segment[random]", True),
    ]


def test_a_plan_times_every_pretraining(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (configs / "other.py").write_text(
        f"_base_ = ['{configs / 'pretrain.py'}']\ntrain_cfg = dict(max_epochs=3)\n"
    )
    rows = {"mae": str(configs / "pretrain.py"), "raw": str(configs / "other.py")}
    path = write_recipe(configs, ("knn",), rows)
    path.write_text(path.read_text() + "repeats = dict(pretrain=2)\n")

    def time_first_steps(cell: Cell, *_: object) -> Trial:
        epochs = cell.config.train_cfg.max_epochs if cell.stage == "pretrain" else 1
        return Trial("step", epochs * EPOCH, 0.1, 1, 1)

    monkeypatch.setattr(planning, "time_first_steps", time_first_steps)
    items, _ = show(str(path), tmp_path / "work")
    assert {item.cell.name: item.trial.total for item in items if item.trial} == {
        "pretrain[mae]": 48,
        "pretrain[mae]#1": 48,
        "pretrain[raw]": 24,
        "pretrain[raw]#1": 24,
        **{f"knn[{row}]{again}": 8 for row in rows for again in ("", "#1")},
    }


def test_a_plan_refuses_what_the_benchmark_would(recipe: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="effective_batch=5 is no multiple"):
        show(recipe, tmp_path, "pretrain.effective_batch=5")
    with pytest.raises(UserError, match="no data"):
        show(recipe, tmp_path, "pretrain.train_dataloader.dataset.data=/nowhere")


def test_too_little_memory_or_disk_is_said() -> None:
    (enough,) = planning.compare("disk", 1, 2)
    (short,) = planning.compare("disk", 3 << 30, 2 << 30)
    assert enough == "disk: 0 MiB of 0 MiB free"
    assert short == "[bold red]disk: 3.0 GiB of 2.0 GiB free: too little[/]"


def test_a_stage_with_a_single_report_is_timed_too(recipe: str, tmp_path: Path) -> None:
    items, text = show(recipe, tmp_path, "encoders=['random']", "knn.batch_size=512")
    (knn,) = [item for item in items if item.cell.stage == "knn"]
    assert knn.trial is not None and knn.trial.total == 35 and knn.trial.seconds > 0
    assert "not counted" not in text


def test_reports_without_a_way_made_and_processes_that_end_do_no_harm() -> None:
    watch = _Watch()
    for done in (0, 0, 3, 3):
        watch({"event": "progress", "unit": "step", "total": 9, "done": done})
    assert [done for _, done in watch.points] == [0, 3] and watch.seconds() >= 0
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert resident(ended) == 0
