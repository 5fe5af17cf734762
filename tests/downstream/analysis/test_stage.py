from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from downstream.analysis.stage import check, legible, run, shown
from mae_core.checkpoints import save_weights
from mae_core.config import load_config
from mae_core.encoders import create_encoder
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on
from tests.downstream.conftest import TINY


@pytest.fixture
def config(garments: Path) -> Config:
    config = on(load_config("analyze/vit-micro-p6_demo"), garments)
    config.val_data.per_class = 15
    return config


def test_an_encoder_is_drawn_beside_the_reference(config: Config, tmp_path: Path) -> None:
    check(config, "random")
    result = run(config, "random", tmp_path, SilentReporter())
    assert list(result.artifacts) == ["attention", "patches-pca", "tsne", "cka"]
    for path in result.artifacts.values():
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    rankme, effective = (metric.value for metric in result.metrics.values())
    assert 1 <= rankme <= 16 and 1 <= effective <= 16


def test_figures_show_few_classes_and_few_images() -> None:
    labels = np.tile(np.arange(50), 200)
    assert shown(labels) == [0, 1, 2, 3, 4]
    assert len(legible(labels)) == 1000
    assert set(labels[legible(labels)]) == set(range(10))
    assert legible(np.array([3, 3, 5])).tolist() == [0, 1, 2]


def test_a_reference_may_be_of_another_width(config: Config, tmp_path: Path) -> None:
    wider = create_encoder(**{**TINY, "img_size": 30, "width": 32})
    save_weights(tmp_path / "wider.safetensors", wider, encoder=wider.config)
    config.reference = str(tmp_path / "wider.safetensors")
    check(config, "random")
    result = run(config, "random", tmp_path, SilentReporter())
    assert list(result.artifacts) == ["attention", "patches-pca", "tsne", "cka"]
