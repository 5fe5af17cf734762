"""Pictures of instances: what is annotated or was found, over the image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmdet.structures.bbox import get_box_tensor
from mmengine.model import BaseModel

from downstream.drawing import colour, legend, paint
from mae_core.plots import PALETTE

CONFIDENT = 0.5  # score from which an instance is drawn


def find(model: BaseModel, item: Mapping[str, Any], score: float = CONFIDENT) -> Any:
    """Instances above `score` in one item of mmdet's pipelines, on the CPU."""
    batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
    found = model.test_step(batch)[0].cpu().pred_instances
    return found[found.scores > score]


def truth(item: Mapping[str, Any]) -> Any:
    """The annotated instances of one item."""
    return item["data_samples"].gt_instances


def caption(found: Any) -> str:
    """How many there are."""
    return f"{len(found)} found with a score above {CONFIDENT}"


def show(axis: Any, image: np.ndarray, instances: Any, classes: Sequence[str]) -> set[int]:
    """Draw instances on `image` (H, W, 3) uint8; their labels.

    They are in their class's colour, or each in its own.

    Args:
        axis: to draw on.
        image: without instances.
        instances: mmdet's, with `bboxes`, `labels` and, where they were learnt, `masks`.
        classes: names; of a single class the instances have colours of their own.
    """
    labels: list[int] = instances.labels.tolist()
    tones = labels if len(classes) > 1 else list(range(len(labels)))
    if "masks" in instances:
        masks = np.asarray(getattr(instances.masks, "masks", instances.masks), dtype=bool)
        # Where masks of one colour overlap, it is laid on once.
        colours = np.array(tones, dtype=int) % len(PALETTE)
        for tone in np.unique(colours):
            image = paint(image, np.any(masks[colours == tone], axis=0), tone)
    axis.imshow(image, interpolation="nearest")
    for tone, box in zip(tones, get_box_tensor(instances.bboxes).tolist(), strict=True):
        left, top, right, bottom = box
        corner, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
        edge = colour(tone)
        axis.add_patch(Rectangle(corner, *size, fill=False, edgecolor=edge, linewidth=0.8))
    return set(labels)


def name_classes(figure: Figure, classes: Sequence[str], labels: set[int]) -> None:
    """A legend of the labels that are drawn, where colours mean classes."""
    if len(classes) > 1:
        legend(figure, {classes[label]: label for label in sorted(labels)})
