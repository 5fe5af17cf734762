import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from downstream.dense.draws import DrawnImages
from downstream.dense.instances import instance_splits
from downstream.dense.task import build, prepare
from downstream.detection.predict import predict
from downstream.detection.stage import TASK, run
from mae_core import UserError
from mae_core.checkpoints import read_metadata, read_state
from mae_core.engine.train import build_runner
from mae_core.stage import SilentReporter
from tests.downstream.conftest import take_masks_away
from tests.faults import arm

pytestmark = pytest.mark.slow


def test_the_stage_yields_four_metrics_weights_and_a_picture(
    config: Config, tmp_path: Path
) -> None:
    result = run(config, "random", tmp_path / "work", SilentReporter())
    for name in ("box_AP", "box_AP50", "mask_AP", "mask_AP50"):
        metric = result.metrics[f"detect/{name}"]
        assert metric.ci95 is not None and 0 <= metric.value <= 1
    assert all(0 <= metric.value <= 1 for metric in result.metrics.values())
    assert result.checkpoint is not None
    assert read_metadata(result.checkpoint)["classes"] == ["small", "large"]
    assert any(key.startswith("backbone.encoder.") for key in read_state(result.checkpoint))
    picture = np.asarray(Image.open(result.artifacts["overlay"]).convert("RGB"))
    assert picture.std() > 10


def test_boxes_without_masks_train_a_detector_of_boxes(config: Config, tmp_path: Path) -> None:
    """Faster R-CNN; its average precision is pycocotools', and it draws and predicts."""
    for name in ("train", "val"):
        take_masks_away(Path(config.data_root, f"instances_{name}.json"))
    config.image.jitter = (0.5, 1.5)  # crops, which mmdet makes by masks where there are some
    result = run(config, "random", tmp_path / "work", SilentReporter())
    assert {name.partition("_")[0] for name in result.metrics} == {"detect/box"}
    assert not any("mask" in key for key in read_state(str(result.checkpoint)))
    assert {"overlay", "confusion", "detections_box"} <= result.artifacts.keys()
    assert "detections_mask" not in result.artifacts
    truth = COCO(str(tmp_path / "work" / "annotations_val.json"))
    judge = COCOeval(truth, truth.loadRes(result.artifacts["detections_box"]), "bbox")
    judge.params.maxDets = [1, 10, config.max_detections]
    judge.evaluate()
    judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, 2]
    assert result.metrics["detect/box_AP"].value == pytest.approx(
        precision[precision > -1].mean(), abs=1e-9
    )
    images = sorted(Path(config.data_root, "val").iterdir())[:2]
    *pictures, found = predict(Path(str(result.checkpoint)), images, tmp_path / "out")
    assert len(pictures) == 2 and all(picture.is_file() for picture in pictures)
    for entry in json.loads(found.read_text())["annotations"]:
        assert "segmentation" not in entry
        assert entry["area"] == pytest.approx(entry["bbox"][2] * entry["bbox"][3])


def test_masks_in_one_split_alone_are_told(config: Config, tmp_path: Path) -> None:
    take_masks_away(Path(config.data_root, "instances_val.json"))
    with pytest.raises(UserError, match=r"only .*instances_train\.json has masks"):
        run(config, "random", tmp_path / "work", SilentReporter())


def test_the_same_seed_gives_the_same_weights(config: Config, tmp_path: Path) -> None:
    results = [
        run(Config(config.to_dict()), "random", tmp_path / name, SilentReporter())
        for name in ("a", "b")
    ]
    first, second = (read_state(str(result.checkpoint)) for result in results)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_order_of_categories_and_the_ids_of_annotations_change_nothing(
    config: Config, tmp_path: Path
) -> None:
    config.train_cfg.max_epochs = 1
    first = run(Config(config.to_dict()), "random", tmp_path / "a", SilentReporter())
    for name in ("train", "val"):
        file = Path(config.data_root, f"instances_{name}.json")
        content = json.loads(file.read_text())
        content["categories"].sort(key=lambda entry: entry["id"], reverse=name == "train")
        for place, entry in enumerate(content["annotations"]):
            entry["id"] = place
        file.write_text(json.dumps(content))
    second = run(config, "random", tmp_path / "b", SilentReporter())
    weights = [read_state(str(result.checkpoint)) for result in (first, second)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert first.metrics == second.metrics
    names = [read_metadata(str(result.checkpoint))["classes"] for result in (first, second)]
    assert names == [["small", "large"]] * 2
    tables = [Path(result.artifacts["by_class"]).read_text() for result in (first, second)]
    assert tables[0] == tables[1]


def test_the_detector_learns_what_it_sees(config: Config, tmp_path: Path) -> None:
    losses = [float(sum(map(total, step(config, tmp_path / "w", count)))) for count in (1, 25)]
    assert losses[1] < 0.75 * losses[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_broke_off_ends_in_the_same_weights(
    workers: int, config: Config, tmp_path: Path
) -> None:
    config.train_cfg.max_epochs = 3
    config.image.jitter = (0.5, 1.5)
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


def test_a_batch_may_be_as_large_as_the_images_are_many(config: Config, tmp_path: Path) -> None:
    """It was once compared with the number of keys of the data set's config."""
    config.train_dataloader.update(batch_size=8, drop_last=True)
    init_default_scope("mmdet")
    images = prepare(TASK, config, "random", instance_splits(config), tmp_path, SilentReporter())
    loaded = {"train_dataloader": DrawnImages(images.train)}
    model = build(TASK, config, SilentReporter())
    runner = build_runner(config, model, tmp_path, SilentReporter(), loaded)
    assert len(runner.build_dataloader(runner._train_dataloader)) == 1


def test_missing_annotations_are_the_users_mistake(config: Config, tmp_path: Path) -> None:
    Path(config.data_root, "instances_train.json").unlink()
    with pytest.raises(UserError, match=r"instances_train\.json"):
        run(config, "random", tmp_path / "work", SilentReporter())


def step(config: Config, folder: Path, count: int) -> list[dict[str, torch.Tensor]]:
    """Losses of the last of `count` steps on one batch."""
    torch.manual_seed(0)
    config = Config(config.to_dict())
    folder.mkdir(exist_ok=True)
    init_default_scope("mmdet")
    annotated = prepare(TASK, config, "random", instance_splits(config), folder, SilentReporter())
    model = build(TASK, config, SilentReporter())
    images = DrawnImages(annotated.train)
    loader = {"train_dataloader": images}
    runner: Runner = build_runner(config, model, folder, SilentReporter(), loader)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    batch = pseudo_collate([images[i] for i in range(4)])
    runner.model.train()
    return [runner.model.train_step(batch, wrapper) for _ in range(count)][-1:]


def total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return losses["loss"]
