"""Top-1 accuracy, or the main metric of other answers, for the Runner's evaluator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from downstream.classification.answers import CLASS, MAIN
from downstream.classification.metrics import Scored


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


@METRICS.register_module()
class MainMetric(BaseMetric):
    """Of several labels, or of a number.

    Args:
        kind: of the answers, see :data:`MAIN`.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def process(self, data_batch: Any, data_samples: Sequence[torch.Tensor]) -> None:
        """Collect (answer, label) of each image, both (C,)."""
        answers = torch.stack(list(data_samples)).float().cpu()
        self.results.extend(zip(answers, data_batch["label"].cpu(), strict=True))

    def compute_metrics(self, results: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, float]:
        """On all images, each of which counts once."""
        answers, labels = (torch.stack(part) for part in zip(*results, strict=True))
        name = MAIN[self.kind]
        value = Scored(answers, labels, kind=self.kind).value(name)
        return {name: value(np.ones(len(results)))}


def evaluator(given: Any, kind: str) -> Any:
    """The `val_evaluator` of a config, or what measures answers that are no classes."""
    return given if kind == CLASS else {"type": "MainMetric", "kind": kind}
