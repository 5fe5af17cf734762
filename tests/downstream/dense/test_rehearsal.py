"""What follows a training is tried by a stage's check, and costs no result."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from downstream.detection import check as detection
from downstream.segmentation import check as segmentation
from mae_core import UserError
from mae_core.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.conftest import TINY
from tests.downstream.dense.test_stored import NAMES

CHECKS: dict[str, Callable[[Config, str], None]] = {
    "detect": detection.check,
    "segment": segmentation.check,
}
VAL = {
    "detect": {"images": "val", "annotations": "instances_val.json"},
    "segment": {"images": "val", "masks": "val_masks"},
}
PACKAGE = {"detect": "downstream.detection.stage", "segment": "downstream.segmentation.stage"}
ODD = ["$x^$", "_a=b/c\nd"]  # names that have a meaning to matplotlib, MLflow or files


def config_on(scenes: Path, stage: str) -> Config:
    """The demo's config of a stage, with a tiny encoder."""
    config = load_config(NAMES[stage])
    config.data_root, config.val_data = str(scenes), VAL[stage]
    config.encoder.update(TINY)
    config.model.backbone.layers = [1]
    return config


@pytest.fixture(params=list(CHECKS))
def config(request: pytest.FixtureRequest, scenes: Path) -> Config:
    return config_on(scenes, request.param)


def scope_name() -> str | None:
    scope = DefaultScope.get_current_instance()
    return None if scope is None else str(scope.scope_name)


def test_a_check_leaves_no_trace(config: Config) -> None:
    before = config.to_dict()
    random.seed(1)
    torch.manual_seed(1)
    np.random.seed(1)
    drawn = random.random(), torch.rand(()).item(), np.random.rand()
    random.seed(1)
    torch.manual_seed(1)
    np.random.seed(1)
    scope = scope_name()
    CHECKS[config.stage](config, "random")
    assert (random.random(), torch.rand(()).item(), np.random.rand()) == drawn
    assert scope_name() == scope and config.to_dict() == before


@pytest.mark.parametrize("part", ["save_weights", "save_outcomes", "measure_images", "write_json"])
def test_what_would_fail_after_the_training_fails_before(
    part: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of luck")

    module = "downstream.dense.task" if part == "save_weights" else PACKAGE[config.stage]
    monkeypatch.setattr(f"{module}.{part}", fail)
    with pytest.raises(UserError, match=r"tried on one image of val.*out of luck"):
        CHECKS[config.stage](config, "random")


def test_a_model_that_cannot_be_built_is_told(config: Config) -> None:
    config.model.backbone.layers = [7]
    with pytest.raises(UserError, match="block 7 in layers"):
        CHECKS[config.stage](config, "random")


def test_a_broken_val_image_is_found(config: Config) -> None:
    Path(config.data_root, "val", "03.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"val/03\.png cannot be read"):
        CHECKS[config.stage](config, "random")


def name_classes(config: Config, names: list[str]) -> None:
    if config.stage == "segment":
        config.classes = ["background", *names]
    for split in ("train", "val"):
        file = Path(config.data_root, f"instances_{split}.json")
        content = json.loads(file.read_text())
        for entry, name in zip(content["categories"], names, strict=True):
            entry["name"] = name
        file.write_text(json.dumps(content))


def test_no_picture_is_lost_to_the_names_of_classes(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    if config.stage == "detect":  # whose parser refuses line breaks
        name_classes(config, [name.replace("\n", " ") for name in ODD])
    else:
        name_classes(config, ODD)
    told: list[str] = []
    monkeypatch.setattr("downstream.dense.rehearsal.say", told.append)
    CHECKS[config.stage](config, "random")
    assert told == []


def test_two_classes_of_one_name_are_refused(config: Config) -> None:
    name_classes(config, ["same", "same"])
    with pytest.raises(UserError, match="same"):
        CHECKS[config.stage](config, "random")


@pytest.mark.slow
def test_a_picture_that_fails_costs_no_result(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr("downstream.dense.task.draw_dataset", fail)
    for part in ("class_bars", "confusion_matrix"):
        monkeypatch.setattr(f"{PACKAGE[config.stage]}.{part}", fail)
    notes: list[str] = []
    reporter = SilentReporter()
    reporter.note = notes.append  # type: ignore[method-assign]
    config.train_cfg.max_epochs = 1
    stage = __import__(PACKAGE[config.stage], fromlist=["run"])
    result = stage.run(config, "random", tmp_path / "work", reporter)
    assert result.metrics and result.checkpoint and "by_class" in result.artifacts
    assert "overlay" not in result.artifacts
    assert [note for note in notes if "overlay.png" in note and "no ink" in note]
