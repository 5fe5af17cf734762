from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from downstream.segmentation.stage import run
from mae_core import UserError
from mae_core.checkpoints import read_metadata, read_state
from mae_core.stage import SilentReporter
from tests.faults import arm

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_broke_off_ends_in_the_same_weights(
    workers: int, config: Config, tmp_path: Path
) -> None:
    config.train_cfg.max_epochs = 3
    config.image.jitter = (0.5, 1.5)
    config.image.photometric = True
    loader = {"num_workers": workers, "persistent_workers": workers > 0}
    config.train_dataloader.update(loader)
    config.default_hooks.checkpoint.minutes = 0  # so that it goes on in the middle of an epoch
    whole = run(Config(config.to_dict()), "random", tmp_path / "whole", SilentReporter())
    fault = tmp_path / "fault"
    arm(fault, "raise", 3)
    config.custom_hooks = [{"type": "Fault", "file": str(fault)}]
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(Config(config.to_dict()), "random", tmp_path / "broken", SilentReporter())
    resumed = run(Config(config.to_dict()), "random", tmp_path / "broken", SilentReporter())
    first, second = (read_state(str(result.checkpoint)) for result in (whole, resumed))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert whole.metrics == resumed.metrics


def test_a_missing_mask_is_the_users_mistake(config: Config, tmp_path: Path) -> None:
    Path(config.data_root, "train_masks", "00.png").unlink()
    with pytest.raises(UserError, match=r"train_masks/00\.png"):
        run(config, "random", tmp_path / "work", SilentReporter())
