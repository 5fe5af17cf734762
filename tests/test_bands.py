"""From a folder of TIFFs of twelve bands to figures of an encoder, as a user goes there."""

import ast
import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mae_core.checkpoints import read_metadata
from mae_core.config import load_config
from mae_core.stage import SilentReporter, StageResult
from pipelines.cli.main import main
from pipelines.service.flow import mae_full_benchmark
from pipelines.stages import card_of, check_stage
from tests.bands import BANDS, field, write_fields
from tests.pipelines.conftest import prefect  # noqa: F401  a fixture
from tests.tiny import CONFIGS, ENCODER, write_configs, write_recipe

KEYS = f"bands='all', in_chans={BANDS}"
SETS = {
    "pretrain": f"train_dataloader = dict(dataset=dict({KEYS}))\npreview = dict({KEYS})\n",
    "knn": f"train_data = dict({KEYS})\nval_data = dict({KEYS})\n",
    "analyze": f"val_data = dict({KEYS})\n",
    "linear-probe": f"train_data = dict({KEYS})\nval_data = dict({KEYS})\n",
    "finetune": f"train_dataloader = dict(dataset=dict({KEYS}))\n"
    f"val_dataloader = dict(dataset=dict({KEYS}))\n",
}
PIXELS = "pixels = dict(mean=[1500] * 12, std=[900] * 12)"
ANALYZE = f"""_base_ = ['{CONFIGS}/analyze/vit-micro-p6_demo.py']
encoder = {ENCODER}
val_data = dict(data='{{data}}', transform=dict(input_size=12), per_class=None)
train_data = None
batch_size = 8
"""


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> str:
    """What `mae-bench` says; it must end well."""
    monkeypatch.setattr(sys, "argv", ["mae-bench", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert not end.value.code, said.err
    return said.out


def run(folder: Path, stage: str, encoder: str) -> StageResult:
    """A stage of the configs in `folder`, after its check."""
    config = load_config(str(folder / f"{stage}.py"))
    check_stage(stage, config, encoder)
    work_dir = folder / "runs" / stage
    work_dir.mkdir(parents=True)
    module = import_module(card_of(stage).module)
    return module.run(config, encoder, work_dir, SilentReporter())  # type: ignore[no-any-return]


def write_band_configs(folder: Path, data: Path, pixels: str) -> None:
    """Small configs of all stages, `folder/<stage>.py`, on the TIFFs in `data`."""
    write_configs(folder / "tiny", data)
    (folder / "tiny" / "analyze.py").write_text(ANALYZE.format(data=data / "val"))
    for stage, sets in SETS.items():
        text = f"_base_ = ['tiny/{stage}.py']\nencoder = dict(in_chans={BANDS})\n"
        (folder / f"{stage}.py").write_text(f"{text}{pixels}\n{sets}")


@pytest.mark.slow
def test_twelve_bands_from_the_files_to_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(CONFIGS.parent))  # of tests.faults, for stages
    data = write_fields(tmp_path / "fields", train=8)
    train = data / "train"
    checked = call(monkeypatch, capsys, "data", "check", train, "--bands", "all", "--workers", 0)
    assert "TIFF uint16, 12 bands: 24" in checked and "3 classes" in checked

    told = call(monkeypatch, capsys, "data", "stats", train, "--bands", "all", "--workers", 0)
    (line,) = [line for line in told.splitlines() if line.startswith("pixels = ")]
    keywords = ast.parse(line).body[0].value.keywords  # type: ignore[attr-defined]
    pixels = {word.arg: ast.literal_eval(word.value) for word in keywords}
    images = [field(1000 * label + i, label=label) for label in range(3) for i in range(8)]
    assert pixels["mean"] == pytest.approx(np.mean(images, axis=(0, 1, 2)).tolist(), rel=1e-5)

    write_band_configs(tmp_path, data, line)
    made = run(tmp_path, "pretrain", "random")
    assert read_metadata(made.checkpoint)["encoder"]["in_chans"] == BANDS
    assert read_metadata(made.checkpoint)["pixels"] == pixels
    with Image.open(made.artifacts["reconstruction"]) as picture:
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 50

    assert run(tmp_path, "knn", made.checkpoint).metrics["knn/top1"].value > 0.9
    probed = run(tmp_path, "linear-probe", made.checkpoint)
    assert probed.metrics["linear-probe/top1"].value > 0.6
    assert "patches-pca" in run(tmp_path, "analyze", made.checkpoint).artifacts


@pytest.mark.slow
def test_a_benchmark_on_twelve_bands_ends_in_a_report(
    prefect: None,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pretraining, then fine-tuning and a linear probe of its encoder and of random weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(CONFIGS.parent))  # of tests.faults, for stages
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    write_band_configs(tmp_path, write_fields(tmp_path / "fields", train=8), PIXELS)
    recipe = write_recipe(tmp_path, ("finetune", "linear-probe"), ("mae", "random"))
    mae_full_benchmark(str(recipe), str(tmp_path / "work"), strict=True)
    report = tmp_path / "work" / "report"
    rows = json.loads((report / "report.json").read_text())["rows"]
    found = {(row["encoder"], row["task"]): row for row in rows if row["metric"] == "top1"}
    assert set(found) == {(e, t) for e in ("mae", "random") for t in ("fine-tune", "linear-probe")}
    for row in found.values():
        assert 0 <= row["value"] <= 1 and 0 <= row["ci95"] < 0.5
    assert found["mae", "linear-probe"]["value"] > 0.6  # of three classes
    assert "Fine-tuning" in (report / "report.md").read_text()
    for classifier in (tmp_path / "work").rglob("classifier.safetensors"):
        assert read_metadata(classifier)["encoder"]["in_chans"] == BANDS
