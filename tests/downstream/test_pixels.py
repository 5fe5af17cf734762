"""Every stage that takes an encoder feeds it images as it was trained on, and says so."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

import downstream.detection.stage
import downstream.segmentation.stage
from downstream.analysis import stage as analysis
from downstream.classification import finetune, knn, linear_probe, low_shot, partial, suite
from downstream.few_shot import stage as few_shot
from mae_core import create_encoder
from mae_core.checkpoints import read_metadata, save_weights
from mae_core.config import load_config
from mae_core.data.normalize import Normalize
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on
from tests.downstream.conftest import TINY

OWN = {"mean": [127.5] * 3, "std": [127.5] * 3}
FINETUNE = "finetune/vit-micro-p6_1xb64-40e_demo-250"
SHORT = {"train_cfg.max_epochs": 1, "train_cfg.val_interval": 1, "schedule.warmup_epochs": 0}
FEW = {"train_dataloader.dataset.per_class": 8}
STAGES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "knn": (knn, "knn/vit-micro-p6_k20_demo", {"more_k": (1,)}),
    "few-shot": (
        few_shot,
        "few_shot/vit-micro-p6_600ep_demo",
        {"episodes": 2, "settings": ((2, 1),), "queries": 2},
    ),
    "linear-probe": (linear_probe, "linear_probe/vit-micro-p6_1xb500-25e_demo", SHORT),
    "suite": (suite, "suite/vit-micro-p6_demo", {"examples": (60, 20)}),
    "finetune": (finetune, FINETUNE, {**SHORT, **FEW}),
    "partial-finetune": (
        partial,
        "partial_finetune/vit-micro-p6_1xb64-40e_demo-250",
        {**SHORT, **FEW, "blocks": (0,)},
    ),
    "low-shot": (
        low_shot,
        "low_shot/vit-micro-p4_cifar10",
        {**SHORT, "sets": [{"name": "few", "splits": 2, "per_class": 4}]},
    ),
    "analyze": (analysis, "analyze/vit-micro-p6_demo", {"val_data.per_class": 5}),
}


class Notes(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    """The file of an encoder that says which pixels it was trained with."""
    made = create_encoder(**TINY, img_size=30)
    path = tmp_path / "encoder.safetensors"
    save_weights(path, made, encoder=made.config, pixels=OWN)
    return str(path)


def sized(name: str, changes: dict[str, Any], garments: Path) -> Config:
    """A config for the garments' 30 pixels."""
    config = on(load_config(name), garments)
    config.encoder.update(img_size=30, patch_size=6)
    config.merge_from_dict(changes)
    for split in ("train", "val"):
        for images in (
            config.get(f"{split}_data"),
            config.get(f"{split}_dataloader", {}).get("dataset"),
        ):
            if images:
                images.transform.input_size = 30
    if "datasets" in config:
        data = dict(train_data=config.train_data.to_dict(), val_data=config.val_data.to_dict())
        config.datasets = [dict(name="all", group="natural", **data)]
    return config


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_uses_the_encoders_pixels_and_says_so_once(
    stage: str,
    encoder: str,
    garments: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, name, changes = STAGES[stage]
    config, reporter = sized(name, changes, garments), Notes()
    used: set[float] = set()
    images = Normalize.images

    def recording(self: Normalize, pixels: torch.Tensor) -> torch.Tensor:
        used.update(round(mean, 3) for mean in self.mean.flatten().tolist())
        return images(self, pixels)

    monkeypatch.setattr(Normalize, "images", recording)
    folder = tmp_path / "stages" / "one"
    folder.mkdir(parents=True)
    result = module.run(config, encoder, folder, reporter)
    beside = set(config.pixels.mean) if stage == "analyze" else set()  # random weights have none
    assert used == set(OWN["mean"]) | beside
    assert sum("protocol='same'" in note for note in reporter.notes) == 1
    if stage == "finetune":
        assert read_metadata(str(result.checkpoint))["pixels"] == OWN


@pytest.mark.parametrize("stage", [downstream.detection.stage, downstream.segmentation.stage])
def test_dense_stages_too(
    stage: Any, encoder: str, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Config] = []

    def stop(task: Any, config: Config, *_: Any) -> None:
        seen.append(config)
        raise InterruptedError

    monkeypatch.setattr("downstream.dense.task.prepare", stop)
    detect = stage is downstream.detection.stage
    name = "detect/mask-rcnn_vit-micro-p6_1xb4-2e_demo"
    config = load_config(name if detect else "segment/upernet_vit-micro-p6_1xb20-14e_demo")
    config.encoder.update(TINY)
    config.data_root = str(scenes)
    config.val_data = {"images": "val", "annotations": "instances_val.json", "masks": "val_masks"}
    reporter = Notes()
    with pytest.raises(InterruptedError):
        stage.run(config, encoder, scenes / "work", reporter)
    assert seen[0].pixels == OWN and "protocol='same'" in reporter.notes[0]
