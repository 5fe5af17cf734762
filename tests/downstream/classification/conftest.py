from pathlib import Path

import pytest
from mmengine.config import Config

from mae_core.config import load_config
from tests.downstream.conftest import TINY


@pytest.fixture
def features_config(garments: Path) -> Config:
    """A config of frozen features of the four classes, without anything of a stage."""
    config = load_config("knn/vit-micro-p6_k20_demo")
    return on(config, garments)


def on(config: Config, garments: Path) -> Config:
    """`config` for a tiny encoder and the images in `garments`."""
    config.encoder.update(TINY)
    for split in ("train", "val"):
        if f"{split}_data" in config:
            config[f"{split}_data"].data = str(garments / split)
        if f"{split}_dataloader" in config and "dataset" in config[f"{split}_dataloader"]:
            config[f"{split}_dataloader"].dataset.data = str(garments / split)
    return config
