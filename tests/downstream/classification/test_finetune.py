from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from downstream.classification.finetune import run
from mae_core import UserError
from mae_core.checkpoints import read_metadata, read_state
from mae_core.engine.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on


@pytest.fixture
def config(garments: Path) -> Config:
    config = on(load_config("finetune/vit-micro-p6_1xb64-40e_demo-5pct"), garments)
    config.train_dataloader.update(batch_size=16)
    config.train_dataloader.dataset.update(per_class=16)
    config.train_cfg.update(max_epochs=20, val_interval=20)
    return config


def test_fine_tuning_learns_and_repeats(config: Config, tmp_path: Path) -> None:
    results = [run(config, "random", tmp_path / n, SilentReporter()) for n in ("a", "b")]
    assert results[0].metrics == results[1].metrics
    assert results[0].metrics["fine-tune/top1"].value > 0.4  # chance is 0.25
    first, second = (read_state(str(r.checkpoint)) for r in results)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert read_metadata(str(results[0].checkpoint))["classes"][0] == "class-0"


def test_other_classes_in_val_are_the_users_mistake(
    config: Config, garments: Path, tmp_path: Path
) -> None:
    (garments / "val" / "hat").mkdir()
    Image.new("L", (30, 30)).save(garments / "val" / "hat" / "0.png")
    with pytest.raises(UserError, match="hat"):
        run(config, "random", tmp_path / "work", SilentReporter())


def test_too_few_images_of_a_class_are_the_users_mistake(config: Config, tmp_path: Path) -> None:
    config.train_dataloader.dataset.per_class = 31
    with pytest.raises(UserError, match="30 images, per_class asks for 31"):
        run(config, "random", tmp_path / "work", SilentReporter())
