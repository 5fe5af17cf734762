from pathlib import Path

import pytest
from mmengine.config import Config

from mae_core.config import load_config
from tests.downstream.conftest import TINY

NAME = "segment/upernet_vit-micro-p6_1xb20-14e_demo"


@pytest.fixture
def config(scenes: Path) -> Config:
    config = load_config(NAME)
    config.data_root = str(scenes)
    config.val_data = {"images": "val", "masks": "val_masks"}
    config.encoder.update(TINY)
    config.model.backbone.layers = [TINY["depth"] - 1]
    config.train_cfg.max_epochs = 1
    config.train_dataloader.batch_size = 4
    return config
