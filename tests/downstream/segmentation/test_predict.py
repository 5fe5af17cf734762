from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from downstream.segmentation.predict import predict
from downstream.segmentation.stage import run
from mae_core import UserError
from mae_core.data.decode import ORIENTATION
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


def test_photos_that_are_turned_by_exif_train_to_the_end(
    config: Config, scenes: Path, tmp_path: Path
) -> None:
    """Masks are upright, as mmseg's loader and every viewer show the photos."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    for split in ("train", "val"):
        for path in (scenes / split).iterdir():
            upright = np.asarray(Image.open(path))[:40]
            Image.fromarray(np.rot90(upright)).save(path, exif=exif)
            mask = scenes / f"{split}_masks" / path.name
            Image.fromarray(np.asarray(Image.open(mask))[:40]).save(mask)
    config.train_cfg.max_epochs = 1
    result = run(config, "random", tmp_path / "work", SilentReporter())
    assert result.files_exist()
    predict(Path(str(result.checkpoint)), [scenes / "val" / "00.png"], tmp_path / "out")
    assert Image.open(tmp_path / "out" / "00_mask.png").size == (48, 40)
