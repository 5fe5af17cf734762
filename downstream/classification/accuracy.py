"""Top-1 accuracy and the uncertainty of a share."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from mae_core.stage import Metric


def top1(correct: torch.Tensor) -> Metric:
    """Share of True in `correct` (N,), with the half width of its 95 % interval.

    The width is the larger arm of Wilson's score interval (Wilson 1927), which stays sensible at
    0 and 1.
    """
    n, p, z = len(correct), float(correct.float().mean()), 1.959964
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    arm = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return Metric(p, max(centre + arm - p, p - centre + arm))


@METRICS.register_module()
class Top1(BaseMetric):
    """Top-1 accuracy for the Runner's evaluator."""

    def process(self, data_batch: Any, data_samples: Sequence[torch.Tensor]) -> None:
        """Collect one bool an image."""
        self.results.extend(bool(correct) for correct in data_samples)

    def compute_metrics(self, results: list[bool]) -> dict[str, float]:
        """Share of correct images."""
        return {"top1": sum(results) / len(results)}
