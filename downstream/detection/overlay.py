"""Pictures of instances: the truth beside what was found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmdet.structures.bbox import get_box_tensor
from torch import nn

from downstream.overlay import PALETTE, colour, figure_grid, legend, paint, read_image, save

SHOWN, CONFIDENT = 5, 0.5  # images in the picture, score from which an instance is drawn


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
        for axis, instances in zip(axes[:, column], (truth, found), strict=True):
            show(axis, image, instances, classes)
        shown |= {*truth.labels.tolist(), *found.labels.tolist()}
    name_classes(figure, classes, shown)
    save(figure, path)


def find(model: nn.Module, item: Mapping[str, Any], score: float = CONFIDENT) -> Any:
    """Instances above `score` in one item of mmdet's pipelines, on the CPU."""
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    found = model.test_step(batch)[0].cpu().pred_instances
    return found[found.scores > score]


def show(axis: Any, image: np.ndarray, instances: Any, classes: Sequence[str]) -> None:
    """Draw instances on `image` (H, W, 3) uint8: in their class's colour, or each in its own.

    Args:
        axis: to draw on.
        image: without instances.
        instances: mmdet's, with `bboxes`, `labels` and `masks`.
        classes: names; of a single class the instances have colours of their own.
    """
    labels = instances.labels.tolist()
    tones = labels if len(classes) > 1 else list(range(len(labels)))
    masks = np.asarray(getattr(instances.masks, "masks", instances.masks), dtype=bool)
    for tone in sorted({tone % len(PALETTE) for tone in tones}):
        of_tone = [place for place, other in enumerate(tones) if other % len(PALETTE) == tone]
        image = paint(image, masks[of_tone].any(axis=0), tone)
    axis.imshow(image, interpolation="nearest")
    for tone, box in zip(tones, get_box_tensor(instances.bboxes).tolist(), strict=True):
        left, top, right, bottom = box
        corner, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
        edge = {"edgecolor": colour(tone) / 255, "linewidth": 0.8}
        axis.add_patch(Rectangle(corner, *size, fill=False, **edge))


def name_classes(figure: Figure, classes: Sequence[str], labels: set[int]) -> None:
    """A legend of the labels that are drawn, where colours mean classes."""
    if len(classes) > 1:
        legend(figure, {classes[label]: label for label in sorted(labels)})
