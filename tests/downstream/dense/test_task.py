"""A task of another kind, how bright each pixel is, which brings only its own parts."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import MODELS, TRANSFORMS
from mmengine.structures import BaseDataElement
from PIL import Image
from torch import Tensor, nn

from downstream.dense.stored import ModelFile
from downstream.dense.task import (
    DenseTask,
    Results,
    TaskImages,
    check_task,
    predictions,
    run_task,
)
from downstream.dense.testing import measure_images
from downstream.drawing import read_image
from mae_core import UserError
from mae_core.config import load_config
from mae_core.stage import Metric, Reporter, SilentReporter
from tests.downstream.conftest import TINY


@TRANSFORMS.register_module()
class PackBrightness(BaseTransform):
    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        sample = BaseDataElement(metainfo={"img_path": results["img_path"]})
        if "truth" in results:
            sample.truth = torch.from_numpy(results["truth"])
        return {
            "inputs": torch.from_numpy(results["img"].transpose(2, 0, 1)),
            "data_samples": sample,
        }


class Photos(BaseDataset):
    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        super().__init__(pipeline=[TRANSFORMS.build(step) for step in STEPS])

    def load_data_list(self) -> list[dict[str, Any]]:
        found = []
        for path in self.paths:
            brightness = read_image(path).mean(axis=2, dtype=np.float32) / 255
            found.append({"img_path": str(path), "truth": brightness})
        return found


@MODELS.register_module()
class BrightnessModel(BaseModel):
    def __init__(self, backbone: Any, decode_head: Any, data_preprocessor: Any) -> None:
        super().__init__(data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.decode_head = nn.Conv2d(decode_head["in_channels"], PATCH**2, kernel_size=1)

    def forward(
        self, inputs: Tensor, data_samples: list[BaseDataElement], mode: str = "tensor"
    ) -> Any:
        (last,) = self.backbone(inputs)
        found = nn.functional.pixel_shuffle(self.decode_head(last), PATCH)[:, 0]
        if mode == "loss":
            truth = torch.stack([sample.truth for sample in data_samples])
            return {"loss": nn.functional.mse_loss(found, truth)}
        for sample, one in zip(data_samples, found, strict=True):
            sample.found = one
        return data_samples


class SquaredError(BaseMetric):
    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        for sample in data_samples:
            self.results.append(float((sample["found"] - sample["truth"]).square().mean()))

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {"RMSE": float(np.mean(results)) ** 0.5}


def read(config: Config) -> dict[str, list[Path]]:
    root = Path(config.data_root)
    return {name: sorted((root / name).glob("*.png")) for name in ("train", "val")}


def paths(data: Any, name: str) -> list[str]:
    return [str(path) for path in data[name]]


def complete(config: Config, data: Any, folder: Path) -> TaskImages:
    return TaskImages(Photos(data["train"]), Photos(data["val"]), ())


def shorten(config: Config, data: Any) -> Any:
    return {**data, "val": data["val"][:1]}


def measured(
    model: BaseModel, images: TaskImages, config: Config, folder: Path, reporter: Reporter
) -> dict[str, float]:
    return measure_images(model, images.val, SquaredError(), config.test_loader, reporter)


def results(
    outcome: dict[str, float], images: TaskImages, config: Config, folder: Path, reporter: Reporter
) -> Results:
    return {"brightness/RMSE": Metric(outcome["RMSE"])}, {}


def find(model: BaseModel, item: Mapping[str, Any]) -> np.ndarray:
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    return np.asarray(model.test_step(batch)[0].found.cpu())


def show(axis: Any, image: np.ndarray, found: np.ndarray, classes: Sequence[str]) -> set[int]:
    axis.imshow(found, vmin=0, vmax=1)
    return set()


PATCH = 6  # pixels a side, vit-micro's
STEPS = [{"type": "LoadImage"}, {"type": "PackBrightness"}]
FILE = ModelFile("brightness", "mmengine", "brightness.safetensors", "size", classified=False)
TASK = DenseTask(
    file=FILE,
    read=read,
    notes=lambda config, data: ["photos are bright"],
    complete=complete,
    shorten=shorten,
    adapt=lambda model: model,
    test=measured,
    results=results,
    steps=lambda config: STEPS,
    find=find,
    truth=lambda item: item["data_samples"].truth.numpy(),
    show=show,
    legend=lambda figure, classes, shown: None,
    plain_row=True,
)


@pytest.fixture
def config(scenes: Path) -> Config:
    config = load_config("segment/upernet_vit-micro-p6_1xb20-14e_demo")
    config.stage, config.default_scope, config.data_root = "brightness", "mmengine", str(scenes)
    config.encoder.update(TINY)
    config.image = {"size": 48}
    preprocess = {"type": "ImgDataPreprocessor", "bgr_to_rgb": True}
    backbone = {"type": "MAEViT", "layers": [1]}
    config.pop("model")
    config.model = {"type": "BrightnessModel", "backbone": backbone, "decode_head": {}}
    config.model.data_preprocessor = preprocess
    config.train_dataloader.batch_size = 4
    config.train_cfg.max_epochs = 60
    return config


@pytest.mark.slow
def test_a_task_with_its_own_parts_is_trained_measured_and_predicts(
    config: Config, tmp_path: Path
) -> None:
    notes: list[str] = []
    reporter = SilentReporter()
    reporter.note = notes.append  # type: ignore[method-assign]
    result = run_task(TASK, config, "random", tmp_path / "work", reporter)
    bright = np.stack([read_image(path) for path in read(config)["val"]]) / 255
    assert result.metrics["brightness/RMSE"].value < 0.8 * bright.std()  # that of their mean
    assert result.labels == 8 and "photos are bright" in notes
    picture = np.asarray(Image.open(result.artifacts["overlay"]).convert("RGB"))
    assert picture.std() > 10
    photos = read(config)["val"][:2]
    found = list(predictions(TASK, Path(str(result.checkpoint)), photos, tmp_path / "out"))
    assert [one.path for one in found] == photos
    assert all(one.found.shape == one.size == (48, 48) for one in found)
    assert [one.picture.name for one in found] == ["00.png", "01.png"]


def test_its_check_tries_what_follows_the_training(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = ModuleType("brightness_stage")
    stage.TASK = TASK  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stage.__name__, stage)
    check_task(stage.__name__, config, "random", read, paths)

    def fail(*_: Any) -> Results:
        raise ValueError("no ruler")

    stage.TASK = replace(TASK, results=fail)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"tried on one image of val.*no ruler"):
        check_task(stage.__name__, config, "random", read, paths)
