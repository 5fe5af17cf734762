"""Detection and segmentation through the command line, in processes of their own."""

import json
import sys
from pathlib import Path

import pytest
from mlflow.entities import Run

from mae_core import create_encoder
from mae_core.checkpoints import save_weights
from pipelines.cells.resources import Resources
from pipelines.cli.main import USER_MISTAKE, main
from pipelines.recipes.single import run_single
from pipelines.tracking.tracker import Tracker
from tests.downstream.conftest import TINY, scenes  # noqa: F401  a fixture
from tests.tiny import CONFIGS

EXTRA = {
    "detect": "model = dict(backbone=dict(layers=[1], window=3, global_blocks=[1]))\n"
    "val_data = dict(images='val', annotations='instances_val.json')\n",
    "segment": "model = dict(backbone=dict(layers=[1]))\n"
    "val_data = dict(images='val', masks='val_masks')\n",
}
METRIC = {"detect": "detect/mask_AP", "segment": "segment/mIoU"}


@pytest.fixture
def folder(scenes: Path) -> Path:  # noqa: F811
    """Annotated images, and `detect.py` and `segment.py` for them."""
    for stage, extra in EXTRA.items():
        (base,) = (CONFIGS / stage).glob("*_demo.py")
        fields = {key: value for key, value in TINY.items() if key != "arch"}
        (scenes / f"{stage}.py").write_text(
            f"_base_ = [{str(base)!r}]\ndata_root = {str(scenes)!r}\nencoder = dict(**{fields})\n"
            f"{extra}train_dataloader = dict(batch_size=2)\ntrain_cfg = dict(max_epochs=2)\n"
        )
    return scenes


@pytest.mark.parametrize("stage", EXTRA)
def test_two_processes_share_the_images_and_the_work_is_reused(
    stage: str, folder: Path, tracker: Tracker
) -> None:
    made = create_encoder(**TINY, img_size=30)
    encoder = str(folder / "encoder.safetensors")
    save_weights(encoder, made, encoder=made.config)
    call = (stage, str(folder / f"{stage}.py"), encoder, Path("work"), [])
    machine = Resources(devices=2)
    outcome = run_single(*call, machine)
    assert outcome.status == "run"
    run: Run = tracker.client.get_run(outcome.run_id)
    assert 0 <= run.data.metrics[METRIC[stage]] <= 1
    assert run.data.metrics[f"{METRIC[stage]}_ci95"] >= 0
    (work,) = Path("work", "stages").iterdir()
    assert "checkpoint step_4.pth" in (work / "log.txt").read_text()  # 2 × 8 images, by 4
    assert "loaded 30 keys, missing []" in (work / "events.jsonl").read_text()
    names = {entry.path for entry in tracker.client.list_artifacts(outcome.run_id)}
    assert {"overlay.png", "confusion.png", "by_class.json"} <= names
    assert run_single(*call, machine).status == "reused"


def command(
    arguments: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["mae-bench", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    done = capsys.readouterr()
    return int(end.value.code or 0), done.out, done.err


@pytest.mark.parametrize("stage", EXTRA)
def test_no_detector_starts_from_random_weights_by_mistake(
    stage: str,
    folder: Path,
    tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = folder / f"{stage}.py"
    code, _, err = command([stage, config], monkeypatch, capsys)
    assert code == USER_MISTAKE and "needs --encoder" in err and "'random'" in err
    code, _, err = command([stage, config, "a.png"], monkeypatch, capsys)
    assert code == USER_MISTAKE and "images go with --predict" in err


def test_a_mistake_in_the_data_is_told_before_anything_is_tracked(
    folder: Path,
    tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = folder / "instances_val.json"
    content = json.loads(file.read_text())
    content["categories"][0]["name"] = "other"
    file.write_text(json.dumps(content))
    call = ["detect", folder / "detect.py", "--encoder", "random"]
    code, _, err = command(call, monkeypatch, capsys)
    assert code == USER_MISTAKE and "different categories" in err
    assert tracker.client.search_runs([tracker.experiment]) == []


def test_a_trained_model_answers_on_the_command_line(
    folder: Path,
    tracker: Tracker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ("segment", str(folder / "segment.py"), "random", Path("work"), [])
    run_single(*call, Resources())
    capsys.readouterr()
    (model,) = Path("work").rglob("segmentor.safetensors")
    image = folder / "val" / "00.png"
    question = ["segment", model, "--predict", image, "--work-dir", tmp_path / "out"]
    code, out, err = command(question, monkeypatch, capsys)
    assert (code, err) == (0, "")
    assert out.split() == [str(tmp_path / "out" / name) for name in ("00.png", "00_mask.png")]
