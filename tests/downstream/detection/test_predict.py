import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from pycocotools.coco import COCO

from downstream.detection.overlay import find
from downstream.detection.predict import FILE, predict
from downstream.detection.stage import TASK, run
from mae_core import UserError
from mae_core.data.decode import ORIENTATION
from mae_core.stage import SilentReporter

pytestmark = pytest.mark.slow


@pytest.fixture
def detector(config: Config, tmp_path: Path) -> Path:
    config.train_cfg.max_epochs = 8
    config.optim_wrapper.optimizer.lr = 4e-3
    return Path(str(run(config, "random", tmp_path / "work", SilentReporter()).checkpoint))


def test_pictures_and_a_coco_file_are_written(
    detector: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsure = replace(TASK, find=partial(find, score=0.05))
    monkeypatch.setattr("downstream.detection.predict.TASK", unsure)
    images = [scenes / "val" / "00.png", scenes / "train" / "00.png"]
    files = predict(detector, images, tmp_path / "out")
    assert [f.name for f in files] == ["00-1.png", "00-2.png", FILE]
    assert all(np.asarray(Image.open(f).convert("L")).std() > 10 for f in files[:2])
    found = COCO(str(files[2]))
    assert [image["file_name"] for image in found.dataset["images"]] == [str(i) for i in images]
    assert found.anns
    for entry in found.anns.values():
        mask = found.annToMask(entry)
        assert mask.shape == (48, 48) and mask.sum() == entry["area"]
        assert 0.05 < entry["score"] <= 1 and entry["category_id"] in (1, 2)
    names = json.loads(files[2].read_text())["categories"]
    assert names == [{"id": 1, "name": "small"}, {"id": 2, "name": "large"}]


def test_mistakes_are_named(detector: Path, scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--predict needs images"):
        predict(detector, [], tmp_path)
    with pytest.raises(UserError, match=r"no image at gone\.png"):
        predict(detector, [Path("gone.png")], tmp_path)
    (tmp_path / "odd.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"odd\.png cannot be read as an image"):
        predict(detector, [tmp_path / "odd.png"], tmp_path)
    with pytest.raises(UserError, match="no checkpoint at"):
        predict(tmp_path / "gone.safetensors", [scenes / "val" / "00.png"], tmp_path)


def test_a_photo_held_upright_has_its_upright_size(detector: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image = tmp_path / "photo.jpg"
    Image.new("RGB", (60, 48)).save(image, exif=exif)
    files = predict(detector, [image], tmp_path / "out")
    (entry,) = json.loads(files[1].read_text())["images"]
    assert (entry["width"], entry["height"]) == (48, 60)
