"""Top-1 accuracy for the Runner's evaluator."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS


@METRICS.register_module()
class Top1(BaseMetric):
    """Share of correct images."""

    def process(self, data_batch: Any, data_samples: Sequence[torch.Tensor]) -> None:
        """Collect one bool an image, from its logits (C,) and the batch's `label`."""
        answers = torch.stack(list(data_samples)).argmax(dim=1).cpu()
        self.results.extend((answers == data_batch["label"].cpu()).tolist())

    def compute_metrics(self, results: list[bool]) -> dict[str, float]:
        """Share of correct images."""
        return {"top1": sum(results) / len(results)}
