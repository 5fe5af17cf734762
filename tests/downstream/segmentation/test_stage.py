from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from downstream.segmentation.overlay import tint
from downstream.segmentation.stage import run
from mae_core import UserError
from mae_core.checkpoints import read_metadata, read_state
from mae_core.engine.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.conftest import TINY

NAME = "segment/upernet_vit-micro-p6_1xb20-56e_demo"


@pytest.fixture
def config(scenes: Path) -> Config:
    config = load_config(NAME)
    config.data_root = str(scenes)
    config.encoder.update(TINY)
    config.model.backbone.layers = [TINY["depth"] - 1]
    config.train_cfg.max_epochs = 1
    config.train_dataloader.batch_size = 4
    return config


def test_a_few_epochs_find_bright_squares(config: Config, tmp_path: Path) -> None:
    config.train_cfg.max_epochs = 40
    result = run(config, "random", tmp_path / "work", SilentReporter())
    names = ("mIoU", "class_accuracy", "pixel_accuracy")
    assert list(result.metrics) == [f"segment/{name}" for name in names]
    interval = result.metrics["segment/mIoU"].ci95
    assert interval is not None and 0 < interval < 1
    assert 0.5 < result.metrics["segment/mIoU"].value <= 1
    assert result.checkpoint is not None
    assert read_metadata(result.checkpoint)["classes"] == ["background", "small", "large"]
    picture = np.asarray(Image.open(result.artifacts["overlay"]).convert("RGB"))
    assert picture.std() > 10


def test_the_same_seed_gives_the_same_weights(config: Config, tmp_path: Path) -> None:
    results = [
        run(Config(config.to_dict()), "random", tmp_path / name, SilentReporter())
        for name in ("a", "b")
    ]
    first, second = (read_state(str(result.checkpoint)) for result in results)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_missing_mask_is_the_users_mistake(config: Config, tmp_path: Path) -> None:
    Path(config.data_root, "train_masks", "00.png").unlink()
    with pytest.raises(UserError, match=r"train_masks/00\.png"):
        run(config, "random", tmp_path / "work", SilentReporter())


def test_background_and_ignored_pixels_keep_their_colour() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    tinted = tint(image, np.array([[0, 255], [1, 2]]), ("background", "small", "large"))
    assert (tinted[0] == 100).all()
    assert (tinted[1] != 100).any(axis=-1).all()
