"""Pictures of instances: the truth beside what was found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.patches import Rectangle
from mmdet.structures.bbox import get_box_tensor
from torch import nn

from downstream.dense.overlay import colour, figure_grid, legend, paint, read_image, save

SHOWN, CONFIDENT = 5, 0.3  # images in the picture, score from which an instance is drawn


@torch.inference_mode()
def draw_dataset(model: nn.Module, dataset: Any, classes: Sequence[str], path: Path) -> None:
    """Ground truth and prediction for a few images of `dataset`."""
    places = np.linspace(0, len(dataset) - 1, min(SHOWN, len(dataset))).astype(int)
    figure, axes = figure_grid(["ground truth", "prediction"], len(places))
    shown: set[int] = set()
    model.eval()
    for column, index in enumerate(places):
        item = dataset[index]
        truth = item["data_samples"].gt_instances
        found = find(model, item)
        image = read_image(item["data_samples"].img_path)
        show(axes[0, column], image, get_box_tensor(truth.bboxes), truth.labels, truth.masks.masks)
        show(axes[1, column], image, found.bboxes, found.labels, found.masks)
        shown |= {*truth.labels.tolist(), *found.labels.tolist()}
    legend(figure, {classes[label]: label for label in sorted(shown)})
    save(figure, path)


def find(model: nn.Module, item: Mapping[str, Any], score: float = CONFIDENT) -> Any:
    """Instances above `score` in one item of mmdet's pipelines, on the CPU."""
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    found = model.test_step(batch)[0].cpu().pred_instances
    return found[found.scores > score]


def show(axis: Any, image: np.ndarray, boxes: Any, labels: Any, masks: Any) -> None:
    """Draw instances on `image` (H, W, 3) uint8."""
    for label, mask in zip(labels.tolist(), masks, strict=True):
        image = paint(image, np.asarray(mask, dtype=bool), label)
    axis.imshow(image, interpolation="nearest")
    for label, (left, top, right, bottom) in zip(labels.tolist(), boxes, strict=True):
        corner, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
        axis.add_patch(Rectangle(corner, *size, fill=False, color=colour(label) / 255))
