"""With our own encoder the losses of the first steps are those that they were from the start."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from downstream.dense.draws import DrawnImages
from downstream.dense.fit_recipe import fit_recipe
from downstream.dense.task import DenseTask, build, prepare
from downstream.detection import stage as detection
from downstream.segmentation import stage as segmentation
from mae_core.config import load_config
from mae_core.engine.train import build_runner
from mae_core.stage import SilentReporter

TASKS = {"detect": detection.TASK, "segment": segmentation.TASK}
# Found before any other encoder than ours was taken; other machines round otherwise.
LOSSES = {
    "detect/mask-rcnn_vit-micro-p6_1xb4-2e_demo": [2.6073811054229736, 2.0132758617401123],
    "detect/mask-rcnn_vit-micro-p8_1xb4-6e_nuclei": [2.664327383041382, 1.7812161445617676],
    "segment/upernet_vit-micro-p6_1xb20-14e_demo": [1.0658535957336426, 0.45522695779800415],
    "segment/upernet_vit-micro-p8_1xb16-12e_nuclei": [1.2210079431533813, 0.709819495677948],
    "segment/linear_vit-base-p16_8xb2-amp-40k_ade20k": [1.3100647926330566, 1.3086066246032715],
}


def small(name: str, scenes: Path) -> Config:
    """A shipped config on the tests' scenes, with a tiny encoder and narrow heads."""
    config = load_config(name)
    config.data_root = str(scenes)
    config.encoder.update(width=16, heads=2)
    if "micro" not in name:
        config.image.update({"size": 64} if config.stage == "detect" else {"crop": 64})
        config.encoder.img_size = 64
    config.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    config.optim_wrapper.type = "FiniteOptimWrapper"
    if config.stage == "detect":
        config.train_data = {"images": "train", "annotations": "instances_train.json"}
        config.val_data = {"images": "val", "annotations": "instances_val.json"}
        return config
    config.train_data = {"images": "train", "masks": "train_masks"}
    config.train_data.annotations = "instances_train.json"
    config.val_data = {"images": "val", "masks": "val_masks"}
    config.update(classes=None, pixel_values=None, ignored=[])
    if config.model.decode_head.get("num_convs") == 0:
        config.model.decode_head.channels = 16
    return config


def two_losses(task: DenseTask, config: Config, folder: Path) -> list[float]:
    """Of the first two steps of training on one batch of two images."""
    folder.mkdir()
    torch.manual_seed(0)
    init_default_scope(config.default_scope)
    images = prepare(task, config, "random", task.read(config), folder, SilentReporter())
    model = build(task, config, SilentReporter())
    drawn = DrawnImages(images.train)
    runner: Any = build_runner(config, model, folder, SilentReporter(), {"train_dataloader": drawn})
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    batch = pseudo_collate([drawn[i] for i in range(2)])
    runner.model.train()
    return [float(runner.model.train_step(batch, wrapper)["loss"]) for _ in range(2)]


@pytest.mark.parametrize("name", LOSSES)
def test_the_losses_of_our_own_encoder_are_what_they_were(
    name: str, scenes: Path, tmp_path: Path
) -> None:
    config = small(name, scenes)
    config = fit_recipe(config, config)
    found = two_losses(TASKS[config.stage], config, tmp_path / "work")
    assert found == pytest.approx(LOSSES[name], rel=1e-5)
