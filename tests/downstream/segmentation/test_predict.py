from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from downstream.segmentation.predict import predict
from downstream.segmentation.stage import run
from mae_core import UserError
from mae_core.stage import SilentReporter

pytestmark = pytest.mark.slow


def test_a_trained_segmentor_finds_the_squares(
    config: Config, scenes: Path, tmp_path: Path
) -> None:
    config.train_cfg.max_epochs = 40
    result = run(config, "random", tmp_path / "work", SilentReporter())
    images = [scenes / "val" / "00.png", scenes / "val" / "01.png"]
    files = predict(Path(str(result.checkpoint)), images, tmp_path / "out")
    assert [f.name for f in files] == ["00.png", "00_mask.png", "01.png", "01_mask.png"]
    right = [
        np.asarray(Image.open(tmp_path / "out" / f"{image.stem}_mask.png"))
        == np.asarray(Image.open(scenes / "val_masks" / image.name))
        for image in images
    ]
    assert np.mean(right) > 0.8
    with pytest.raises(UserError, match=r"no model of mae-bench detect.*detector\.safetensors"):
        from downstream.detection.predict import predict as detect

        detect(Path(str(result.checkpoint)), images, tmp_path / "out")
