"""Pictures of semantic segmentation: what is annotated or was found, over the image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.model import BaseModel

from downstream.dense.label_map import IGNORED
from downstream.drawing import legend, paint

BACKGROUND = "background"  # a class that is not painted


def find(model: BaseModel, item: Mapping[str, Any]) -> np.ndarray:
    """Labels (H, W) of one item of mmseg's pipelines, at the image's own size."""
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    labels: np.ndarray = model.test_step(batch)[0].pred_sem_seg.data[0].cpu().numpy()
    return labels


def truth(item: Mapping[str, Any]) -> np.ndarray:
    """The annotated labels (H, W) of one item."""
    labels: np.ndarray = item["data_samples"].gt_sem_seg.data[0].numpy()
    return labels


def show(axis: Any, image: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> set[int]:
    """Draw `image` (H, W, 3) uint8 in the colours of `labels` (H, W); which there are."""
    axis.imshow(tint(image, labels, classes), interpolation="nearest")
    return set(np.unique(labels))


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
