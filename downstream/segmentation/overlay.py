"""Pictures of semantic segmentation: the image, the truth, and what was found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from downstream.dense.data import IGNORED
from downstream.overlay import figure_grid, legend, paint, read_image, save

SHOWN = 5  # images in the picture
BACKGROUND = "background"  # a class that is not painted


@torch.inference_mode()
def draw_dataset(model: nn.Module, dataset: Any, classes: Sequence[str], path: Path) -> None:
    """Image, ground truth and prediction for a few images of `dataset`."""
    places = np.linspace(0, len(dataset) - 1, min(SHOWN, len(dataset))).astype(int)
    figure, axes = figure_grid(["image", "ground truth", "prediction"], len(places))
    shown: set[int] = set()
    model.eval()
    for column, index in enumerate(places):
        item = dataset[index]
        found = find(model, item)
        truth = item["data_samples"].gt_sem_seg.data[0].numpy()
        image = read_image(item["data_samples"].img_path)
        for axis, labels in zip(axes[:, column], (None, truth, found), strict=True):
            painted = image if labels is None else tint(image, labels, classes)
            axis.imshow(painted, interpolation="nearest")
        shown |= {*np.unique(truth), *np.unique(found)} - {IGNORED}
    name_colours(figure, classes, shown)
    save(figure, path)


def find(model: nn.Module, item: Mapping[str, Any]) -> np.ndarray:
    """Labels (H, W) of one item of mmseg's pipelines, at the image's own size."""
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    labels: np.ndarray = model.test_step(batch)[0].pred_sem_seg.data[0].cpu().numpy()
    return labels


def tint(image: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """`image` (H, W, 3) uint8 in the colours of `labels` (H, W); background stays as it is."""
    for label in painted_labels(classes, set(np.unique(labels))):
        image = paint(image, labels == label, tone(label, classes))
    return image


def name_colours(figure: Any, classes: Sequence[str], labels: set[int]) -> None:
    """A legend of the labels that are painted."""
    shown = sorted(painted_labels(classes, labels))
    legend(figure, {classes[label]: tone(label, classes) for label in shown})


def painted_labels(classes: Sequence[str], labels: set[int]) -> set[int]:
    """Those that are neither background nor ignored."""
    return {int(n) for n in labels if n != IGNORED and classes[n] != BACKGROUND}


def tone(label: int, classes: Sequence[str]) -> int:
    """The colour's number: the first class that is no background has the first."""
    return label - (classes[0] == BACKGROUND)
