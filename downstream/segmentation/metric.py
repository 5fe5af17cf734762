"""Intersection over union, with the counts of single images kept for resampling."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from numpy.typing import NDArray

from downstream.dense.data import IGNORED
from downstream.outcomes import Resampled
from downstream.statistics import resamples

Counts = NDArray[np.int32]


@METRICS.register_module()
class Confusion(BaseMetric):
    """Counts pixels of each image by true and found class.

    Args:
        classes: how many.

    Attributes:
        counts: after an evaluation, in the main process: (images, classes, classes), true class
            down, found class across.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(collect_device="cpu")
        self.classes = classes
        self.counts: Counts = np.zeros((0, classes, classes), dtype=np.int32)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the pixels of a batch of images."""
        for sample in data_samples:
            found = sample["pred_sem_seg"]["data"].squeeze().to(torch.int64)
            truth = sample["gt_sem_seg"]["data"].squeeze().to(found)
            known = truth != IGNORED
            pairs = truth[known] * self.classes + found[known]
            counts = torch.bincount(pairs, minlength=self.classes**2)
            square = counts.view(self.classes, self.classes)
            self.results.append(square.to("cpu", torch.int32).numpy())

    def compute_metrics(self, results: list[Counts]) -> dict[str, float]:
        """mIoU, mean accuracy of the classes, and share of the pixels that are right."""
        self.counts = np.stack(results)
        whole = self.counts.sum(axis=0, dtype=np.int64)
        right = np.diagonal(whole)
        with np.errstate(invalid="ignore"):
            accuracy = np.nanmean(right / whole.sum(axis=1))
        return {
            "mIoU": float(np.nanmean(ious(whole))),
            "class_accuracy": float(accuracy),
            "pixel_accuracy": float(right.sum() / whole.sum()),
        }


def ious(counts: NDArray[np.number[Any]]) -> NDArray[np.float64]:
    """(..., C, C) counts -> (..., C) intersection over union; nan for classes that do not occur."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    either = counts.sum(axis=-1) + counts.sum(axis=-2) - right
    with np.errstate(invalid="ignore"):
        return np.asarray(right / either, dtype=np.float64)


def resampled_miou(counts: Counts, seed: int) -> Resampled:
    """mIoU of (N, C, C) counts on all images, and on resamples of the images."""
    right = np.diagonal(counts, axis1=1, axis2=2).astype(np.float64)  # (N, C)
    either = counts.sum(axis=1) + counts.sum(axis=2) - right
    drawn = resamples(len(counts), seed)
    times = np.stack([np.bincount(row, minlength=len(counts)) for row in drawn])
    times = np.concatenate([np.ones((1, len(counts)), dtype=times.dtype), times])
    with np.errstate(invalid="ignore"):
        return Resampled(np.nanmean((times @ right) / (times @ either), axis=1))
