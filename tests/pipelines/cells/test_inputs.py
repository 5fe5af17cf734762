"""What changes while a stage runs is not kept as the result of what was there before."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mae_core import UserError
from pipelines.cells.cell import Cell, cell_folder
from pipelines.cells.launch import stopping_on_error
from pipelines.cells.resources import Resources
from pipelines.cells.run_cell import Setting, run_cell, with_encoder_from
from pipelines.events import Event
from pipelines.identity import look_again
from pipelines.recipes.recipe import load_stage_config
from tests.tiny import write_configs

Changed = tuple[Cell, Path]


@pytest.fixture(autouse=True)
def may_start() -> Iterator[None]:
    look_again()
    with stopping_on_error():
        yield
    look_again()


@pytest.fixture
def own(images: Path, tmp_path: Path) -> Path:
    """Configs on a copy of the images, and on a module of ours that computes nothing."""
    shutil.copytree(images, tmp_path / "images")
    return write_configs(tmp_path / "configs", tmp_path / "images")


def make(configs: Path, stage: str, *overrides: str) -> Cell:
    config = load_stage_config(stage, str(configs / f"{stage}.py"), overrides)
    return Cell(stage, "random", "random", config)


@pytest.fixture
def setting(shared: tuple[Setting, Path], tmp_path: Path) -> Setting:
    return replace(shared[0], work_dir=tmp_path / "work")


def swap(folder: Path) -> None:
    """Exchange the images of two classes."""
    for one, other in (("class-0", "x"), ("class-1", "class-0"), ("x", "class-1")):
        (folder / one).rename(folder / other)


def last_error(setting: Setting, cell: Cell) -> str:
    (run,) = setting.tracker.computed(cell.key, "random", "FAILED")
    return run.tags["error"]


def test_a_result_names_what_was_read_and_the_checksums_of_its_files(
    own: Path, setting: Setting
) -> None:
    cell = make(own, "knn")
    result = run_cell(cell, setting).result
    assert result.inputs == cell.inputs
    assert result.checksums.keys() == set(result.files()) and not result.damaged()
    stored = json.loads((cell_folder(cell, setting.work_dir) / "result.json").read_text())
    assert all(not Path(name).is_absolute() for name in stored["checksums"])


def test_images_that_changed_before_the_stage_are_refused_and_not_reused_when_they_are_back(
    own: Path, setting: Setting, tmp_path: Path
) -> None:
    cell = make(own, "knn", "k=5")
    honest = run_cell(cell, replace(setting, work_dir=tmp_path / "honest", elsewhere=False))
    setting.tracker.client.delete_run(honest.run_id)
    swap(tmp_path / "images" / "train")  # after the flow has looked
    with pytest.raises(UserError, match=r"not computed: train_data.data \(.*train\) on .* changed"):
        run_cell(cell, setting)
    assert "not computed" in last_error(setting, cell)
    swap(tmp_path / "images" / "train")
    for folder in ("work", "elsewhere"):
        again = run_cell(cell, replace(setting, work_dir=tmp_path / folder))
        assert again.result.metrics == honest.result.metrics


@pytest.mark.parametrize("back", [False, True])
def test_images_that_change_during_a_training_make_it_void(
    own: Path, setting: Setting, tmp_path: Path, back: bool
) -> None:
    cell, seen = make(own, "pretrain"), []

    def meddle(event: Event) -> None:
        if event["event"] == "log" and not seen:
            seen.append(event)
            swap(tmp_path / "images" / "train")
            if back:
                swap(tmp_path / "images" / "train")

    (own / "pretrain.fault").write_text("slow 0")
    with pytest.raises(UserError, match=r"refused: .*changed while the stage ran"):
        run_cell(cell, replace(setting, watch=meddle))
    assert seen
    folder = cell_folder(cell, setting.work_dir)
    assert not list(folder.glob("step_*")) and not (folder / "result.json").exists()
    (aside,) = folder.glob("refused-*")
    assert list(aside.glob("step_*.pth")) and str(aside) in last_error(setting, cell)
    if not back:
        swap(tmp_path / "images" / "train")
    (own / "pretrain.fault").unlink()
    again = run_cell(cell, setting)
    assert again.status == "run"
    steps = setting.tracker.client.get_metric_history(again.run_id, "loss")
    assert [point.step for point in steps] == [10, 20, 30, 40, 48]


def test_two_processes_agree_that_images_changed(
    own: Path, setting: Setting, tmp_path: Path
) -> None:
    cell, seen = make(own, "pretrain", "train_cfg.max_epochs=8"), []
    pair = replace(setting, resources=Resources(devices=2))

    def meddle(event: Event) -> None:
        if event["event"] == "log" and not seen:
            seen.append(event)
            swap(tmp_path / "images" / "train")

    with pytest.raises(UserError, match=r"refused: train_dataloader.dataset.data .*see .*refused-"):
        run_cell(cell, replace(pair, watch=meddle))
    swap(tmp_path / "images" / "train")
    assert run_cell(cell, pair).result.inputs == cell.inputs


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that configs name, found by this process and the stage's."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "__init__.py").touch()
    (tmp_path / "lab" / "hooks.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    root = str(Path(__file__).parents[3])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    return tmp_path / "lab" / "hooks.py"


def with_module(cell: Cell) -> Cell:
    config = cell.config.copy()
    config.custom_imports = {"imports": ["tests.faults", "lab.hooks"]}
    return replace(cell, config=config)


def test_code_that_changed_before_the_stage_is_refused(
    own: Path, setting: Setting, module: Path
) -> None:
    cell = with_module(make(own, "knn"))
    assert cell.key
    module.write_text("x = 2\n")
    with pytest.raises(UserError, match=r"not computed: code on .* changed since this run began"):
        run_cell(cell, setting)
    module.write_text("x = 1  # the same\n")
    assert run_cell(cell, setting).status == "run"


def test_a_training_goes_on_when_code_that_changed_meanwhile_is_back(
    own: Path, setting: Setting, module: Path
) -> None:
    cell = with_module(make(own, "pretrain"))

    def meddle(event: Event) -> None:
        if event["event"] == "log":
            module.write_text("x = 2\n")

    with pytest.raises(UserError, match=r"refused: code on .* changed while the stage ran"):
        run_cell(cell, replace(setting, watch=meddle))
    assert not (cell_folder(cell, setting.work_dir) / "result.json").exists()
    module.write_text("x = 1\n")
    again = run_cell(cell, setting)
    assert again.status == "resumed"
    points = setting.tracker.client.get_metric_history(again.run_id, "loss")
    assert [point.step for point in points] == [10, 20, 30, 40, 48]


def test_an_encoder_that_changed_since_it_was_made_is_not_measured(
    own: Path, setting: Setting
) -> None:
    outcome = run_cell(make(own, "pretrain"), setting)
    knn = make(own, "knn")
    assert with_encoder_from(knn, outcome).source == outcome.result.checkpoint
    weights = Path(str(outcome.result.checkpoint))
    cell = with_encoder_from(knn, outcome)
    assert cell.key  # the flow has looked
    weights.write_bytes(flipped(weights.read_bytes()))
    with pytest.raises(UserError, match=r"not computed: encoder \(.*encoder.safetensors\)"):
        run_cell(cell, setting)
    with pytest.raises(UserError, match=r"encoder\.safetensors changed since the MLflow run"):
        with_encoder_from(knn, outcome)


def flipped(content: bytes) -> bytes:
    """The same with the last bytes' bits turned."""
    return content[:-64] + bytes(byte ^ 0x80 for byte in content[-64:])


@pytest.mark.parametrize("name", ["encoder.safetensors", "mae.safetensors", "result.json"])
@pytest.mark.parametrize("how", ["flipped", "empty", "gone", "in MLflow too"])
def test_a_damaged_file_of_a_finished_stage_is_not_reused(
    finished: tuple[Cell, Setting, Path], name: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, setting, folder = finished
    run = run_cell(cell, setting)
    good = (folder / name).read_bytes()
    damage(folder / name, how)
    if how == "in MLflow too":
        stored = setting.tracker.client.get_run(run.run_id).info.artifact_uri
        (copy,) = Path(stored.removeprefix("file://")).rglob(name)
        damage(copy, "flipped")
    capsys.readouterr()
    again = run_cell(cell, setting)
    said = capsys.readouterr().out
    if name != "result.json" or how == "flipped":
        assert name in said and ("damaged" in said or "gone" in said)
    assert again.result.metrics == run.result.metrics and not again.result.damaged()
    if how != "in MLflow too":
        assert again.status == "reused"
        assert name == "result.json" or (folder / name).read_bytes() == good


def damage(file: Path, how: str) -> None:
    if how == "gone":
        file.unlink()
    else:
        content = file.read_bytes()
        if file.suffix == ".json":  # another number, which reads as well as the right one
            changed = content.replace(b'"value": ', b'"value": 1', 1)
            assert changed != content
        else:
            changed = flipped(content)
        file.write_bytes(b"" if how == "empty" else changed)


@pytest.fixture(scope="module")
def finished(
    shared: tuple[Setting, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Cell, Setting, Path]:
    """A finished pretraining."""
    setting = replace(shared[0], work_dir=tmp_path_factory.mktemp("finished"))
    cell = make(shared[1], "pretrain", "train_cfg.max_epochs=1")
    run_cell(cell, setting)
    return cell, setting, cell_folder(cell, setting.work_dir)


def test_a_run_that_mlflow_lost_is_entered_with_all_that_is_known_of_it(
    finished: tuple[Cell, Setting, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, setting, folder = finished
    client = setting.tracker.client
    before = client.get_run(run_cell(cell, setting).run_id)
    client.delete_run(before.info.run_id)
    monkeypatch.setattr("pipelines.tracking.lineage.hardware", lambda: {"cpu": "another machine"})
    outcome = run_cell(cell, setting)
    after = client.get_run(outcome.run_id)
    assert after.info.run_id != before.info.run_id and after.info.status == "FINISHED"
    assert after.data.params == before.data.params
    own = ("mlflow.", "start", "sha256/checkpoints")
    for key, value in before.data.tags.items():
        if not key.startswith(own):
            assert after.data.tags[key] == value, key
    read = [{one.dataset.digest for one in run.inputs.dataset_inputs} for run in (before, after)]
    assert read[0] == read[1] != set()
    assert set(setting.tracker.files(after.info.run_id)) == set(
        setting.tracker.files(before.info.run_id)
    )
    assert (folder / "result.json").exists()


@pytest.mark.parametrize("error", [OSError("read only"), KeyboardInterrupt()])
def test_a_stage_that_does_not_start_leaves_no_running_run(
    own: Path, setting: Setting, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pipelines.cells.run_cell.prepare", fail)
    cell = make(own, "knn", "k=2" if isinstance(error, OSError) else "k=4")
    with pytest.raises(type(error)):
        run_cell(cell, setting)
    running = setting.tracker.computed(cell.key, "random", "RUNNING")
    ended = "FAILED" if isinstance(error, OSError) else "KILLED"
    assert not running and len(setting.tracker.computed(cell.key, "random", ended)) == 1
