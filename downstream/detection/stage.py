"""The detection stage: train Mask R-CNN on the encoder, evaluate it the COCO way."""

from pathlib import Path
from typing import Any

import mmdet.models  # noqa: F401  registers mmdet's models
import numpy as np
import torch
from matplotlib.patches import Rectangle
from mmdet.structures.bbox import get_box_tensor
from mmengine.config import Config
from mmengine.runner import Runner, set_random_seed

import downstream.vit_backbone  # noqa: F401  registers the backbone
from downstream.coco_folder import instance_classes
from downstream.overlay import colour, figure_grid, legend, paint, read_image, save
from mae_core.checkpoints import save_weights
from mae_core.data.roots import resolve_root
from mae_core.engine.train import build_runner, train
from mae_core.stage import Metric, Reporter, StageResult

METRICS = {
    "box_AP": "coco/bbox_mAP",
    "box_AP50": "coco/bbox_mAP_50",
    "mask_AP": "coco/segm_mAP",
    "mask_AP50": "coco/segm_mAP_50",
}
SHOWN, CONFIDENT = 5, 0.3  # images in the picture, score from which a box is drawn


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Train on `config.data_root`; metrics `detect/{box,mask}_{AP,AP50}` on its val images."""
    set_random_seed(config.seed)
    classes = instance_classes(config.data_root)
    complete(config, classes, encoder)
    runner = build_runner(config, config.model, work_dir, reporter)
    train(runner)
    found = runner.test()
    checkpoint, picture = work_dir / "detector.safetensors", work_dir / "overlay.png"
    save_weights(checkpoint, runner.model, encoder=dict(config.encoder), classes=classes)
    draw(runner, classes, picture)
    metrics = {f"detect/{name}": Metric(float(found[key])) for name, key in METRICS.items()}
    return StageResult(metrics, str(checkpoint), {"overlay": str(picture)})


def complete(config: Config, classes: tuple[str, ...], encoder: str) -> None:
    """Fill in what follows from the encoder and the data."""
    model = config.model
    model.backbone.update(encoder=config.encoder, source=encoder)
    model.data_preprocessor.update(config.pixels)
    for head in (model.roi_head.bbox_head, model.roi_head.mask_head):
        head.num_classes = len(classes)
    root = str(resolve_root(config.data_root))
    for split, loader in (("train", config.train_dataloader), ("val", config.test_dataloader)):
        loader.dataset.update(
            data_root=root,
            ann_file=f"instances_{split}.json",
            data_prefix={"img": f"{split}/"},
            metainfo={"classes": classes},
        )
    config.test_evaluator.ann_file = f"{root}/instances_val.json"


@torch.inference_mode()
def draw(runner: Runner, classes: tuple[str, ...], path: Path) -> None:
    """Ground truth and prediction for a few val images."""
    dataset = runner.test_dataloader.dataset
    figure, axes = figure_grid(["ground truth", "prediction"], SHOWN)
    shown: set[int] = set()
    runner.model.eval()
    for column, index in enumerate(np.linspace(0, len(dataset) - 1, SHOWN).astype(int)):
        item = dataset[index]
        batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
        predicted = runner.model.test_step(batch)[0].cpu().pred_instances
        predicted = predicted[predicted.scores > CONFIDENT]
        truth = item["data_samples"].gt_instances
        image = read_image(item["data_samples"].img_path)
        show(axes[0, column], image, get_box_tensor(truth.bboxes), truth.labels, truth.masks.masks)
        show(axes[1, column], image, predicted.bboxes, predicted.labels, predicted.masks)
        shown |= {*truth.labels.tolist(), *predicted.labels.tolist()}
    legend(figure, {classes[label]: label for label in sorted(shown)})
    save(figure, path)


def show(axis: Any, image: np.ndarray, boxes: Any, labels: Any, masks: Any) -> None:
    """Draw instances on `image` (H, W, 3) uint8."""
    for label, mask in zip(labels.tolist(), masks, strict=True):
        image = paint(image, np.asarray(mask, dtype=bool), label)
    axis.imshow(image, interpolation="nearest")
    for label, (left, top, right, bottom) in zip(labels.tolist(), boxes, strict=True):
        corner, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
        axis.add_patch(Rectangle(corner, *size, fill=False, color=colour(label) / 255))
