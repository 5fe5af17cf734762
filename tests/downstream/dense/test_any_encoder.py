"""Both dense models train on maps of every family: one step forward and backward of each."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from downstream.dense.draws import DrawnImages
from downstream.dense.fit_recipe import fit_recipe
from downstream.dense.levels import is_hierarchical
from downstream.dense.maps import EncoderMaps
from downstream.dense.task import build, prepare
from downstream.detection import stage as detection
from downstream.segmentation import stage as segmentation
from mae_core.config import load_config
from mae_core.engine.optim import LayerDecayConstructor
from mae_core.stage import SilentReporter
from tests.downstream.dense.test_stored import NAMES
from tests.families import FAMILIES

TASKS = {"detect": detection.TASK, "segment": segmentation.TASK}


def config_on(scenes: Path, stage: str, model: str, **fields: Any) -> Config:
    """The demo's recipe of a stage with a model of timm."""
    given = load_config(NAMES[stage])
    given.data_root, given.train_dataloader.batch_size = str(scenes), 2
    val = {"annotations": "instances_val.json"} if stage == "detect" else {"masks": "val_masks"}
    given.val_data = {"images": "val", **val}
    given.image.update({"size": 64} if stage == "detect" else {"crop": 64, "scale": (64, 64)})
    config = Config(given.to_dict())
    config.encoder = {"arch": f"timm:{model}", "in_chans": 3, **fields}
    return fit_recipe(given, config)


@pytest.mark.parametrize(("stage", "family"), [(s, f) for f in FAMILIES for s in TASKS])
def test_a_step_of_training_reaches_every_weight_that_is_trained(
    stage: str, family: str, scenes: Path, tmp_path: Path
) -> None:
    model_name, fields = FAMILIES[family]
    config, task = config_on(scenes, stage, model_name, **fields), TASKS[stage]
    torch.manual_seed(0)
    init_default_scope(config.default_scope)
    images = prepare(task, config, "random", task.read(config), tmp_path, SilentReporter())
    model = build(task, config, SilentReporter())
    encoder = model.backbone.encoder
    assert isinstance(model.backbone, EncoderMaps)
    assert (config.model.get("neck", {}).get("type") == "SimpleFeaturePyramid") != is_hierarchical(
        encoder
    )
    drawn = DrawnImages(images.train)
    data = model.data_preprocessor(pseudo_collate([drawn[i] for i in range(2)]), training=True)
    losses = model(**data, mode="loss")
    flat = [one for value in losses.values() for one in as_list(value)]
    assert all(one.isfinite().all() for one in flat)
    model.parse_losses(losses)[0].backward()
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    wrapper = {"optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.1}}
    groups = LayerDecayConstructor(wrapper, {"layer_decay": 0.5})(model).optimizer.param_groups
    assert len({group["lr"] for group in groups}) > 2


def as_list(value: Any) -> list[torch.Tensor]:
    return value if isinstance(value, list) else [value]
