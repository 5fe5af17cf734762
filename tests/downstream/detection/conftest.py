from pathlib import Path

import pytest
from mmengine.config import Config

from mae_core.config import load_config
from tests.downstream.conftest import TINY

NAME = "detect/mask-rcnn_vit-micro-p6_1xb4-2e_demo"


@pytest.fixture
def config(scenes: Path) -> Config:
    config = load_config(NAME)
    config.data_root = str(scenes)
    config.val_data = {"images": "val", "annotations": "instances_val.json"}
    config.encoder.update(TINY)
    config.model.backbone.layers = [1]
    config.train_cfg.max_epochs = 2
    config.train_dataloader.batch_size = 4
    return config
