"""What a head answers: the class of an image, several labels of it, or a number."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mae_core.data.images import ImageDataset
from mae_core.data.sources.targets import SAID, Targets
from mae_core.errors import UserError

CLASS, LABELS, NUMBER = "class", "labels", "number"
MAIN = {CLASS: "top1", LABELS: "map", NUMBER: "r2"}  # always measured; decides without a choice


class Answers(nn.Module):
    """The class of each image: a logit for each, and the cross entropy."""

    kind = CLASS
    unit = ""

    def forward(self, raw: Tensor) -> Tensor:
        """What a head's output (..., C) says: logits, or a number in its unit."""
        return raw

    def loss(self, raw: Tensor, label: Tensor, smoothing: float = 0.0) -> Tensor:
        """() mean over images.

        Args:
            raw: (N, C) output of a head.
            label: (N,) int64; or (N, C) float, shares of the classes, which stay as they are.
            smoothing: of the labels, 0 to below 1.
        """
        smoothing = 0.0 if label.is_floating_point() else smoothing
        return F.cross_entropy(raw, label, label_smoothing=smoothing)

    def losses(self, raw: Tensor, label: Tensor) -> Tensor:
        """(N, S) of S heads on the same images.

        Args:
            raw: (N, S, C) their outputs.
            label: (N,) int64, or as the kind has them (N, C) float.
        """
        repeated = label[:, None].expand(-1, raw.shape[1])
        losses = F.cross_entropy(raw.flatten(0, 1), repeated.flatten(), reduction="none")
        return losses.unflatten(0, repeated.shape)

    def about(self) -> dict[str, Any]:
        """What a file of weights says of them, to be read by who applies these."""
        return {}


class SeveralLabels(Answers):
    """Any number of labels of each image: a logit for each, and the binary cross entropy."""

    kind = LABELS

    def loss(self, raw: Tensor, label: Tensor, smoothing: float = 0.0) -> Tensor:
        """() mean over images and labels; `label` (N, C) float, 0 to 1, smoothed towards 1/2."""
        smooth = label * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(raw, smooth.to(raw.dtype))

    def losses(self, raw: Tensor, label: Tensor) -> Tensor:
        """(N, S), means over labels."""
        repeated = label[:, None].expand_as(raw)
        return F.binary_cross_entropy_with_logits(raw, repeated, reduction="none").mean(dim=-1)

    def about(self) -> dict[str, Any]:
        """Their kind."""
        return {"answers": LABELS}


class Number(Answers):
    """A number of each image, in deviations from the mean of those that are learnt.

    The loss is Huber's (1964) with the bend at one deviation: its gradient is bounded, as that of
    the cross entropy is, so that the same rates of learning serve.

    Args:
        numbers: (N, 1), those that are learnt, in their unit.
        unit: '' where it is not known.
    """

    kind = NUMBER
    mean: Tensor
    std: Tensor

    def __init__(self, numbers: Tensor, unit: str = "") -> None:
        super().__init__()
        exact = numbers.double()
        self.unit = unit
        self.register_buffer("mean", exact.mean(dim=0).float(), persistent=False)
        self.register_buffer("std", exact.std(dim=0).float(), persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        """In the unit."""
        return raw.float() * self.std + self.mean

    def loss(self, raw: Tensor, label: Tensor, smoothing: float = 0.0) -> Tensor:
        """() mean over images; `label` (N, 1) in the unit."""
        return F.huber_loss(raw.float(), (label - self.mean) / self.std)

    def losses(self, raw: Tensor, label: Tensor) -> Tensor:
        """(N, S)."""
        wanted = ((label - self.mean) / self.std)[:, None].expand_as(raw)
        return F.huber_loss(raw.float(), wanted, reduction="none").mean(dim=-1)

    def about(self) -> dict[str, Any]:
        """Their kind, and what an output is to be multiplied by and what is added then."""
        scale = {"std": self.std.item(), "mean": self.mean.item(), "unit": self.unit}
        return {"answers": NUMBER, **scale}


def kind_of(targets: Targets | None) -> str:
    """Of the answers where images are labelled so; None of those with a class each."""
    return CLASS if targets is None else targets.kind


def suffix_of(kind: str) -> str:
    """What ends the names of metrics that say how much was learnt, not what: '', '_map', '_r2'."""
    return "" if kind == CLASS else f"_{MAIN[kind]}"


def answers_of(targets: Targets | None) -> Answers:
    """What is to be answered where images are labelled so; None of those with a class each."""
    if targets is None:
        return Answers()
    if targets.kind == LABELS:
        return SeveralLabels()
    return Number(torch.from_numpy(targets.values), targets.unit)


def names_of(dataset: ImageDataset) -> list[str]:
    """The names of the classes, of the labels, or of the number: one for each output of a head."""
    return dataset.classes if dataset.targets is None else list(dataset.targets.names)


def labels_of(dataset: ImageDataset) -> Tensor:
    """What the images are to be answered with: (N,) int64 classes, or (N, C) float32."""
    return torch.from_numpy(dataset.labels if dataset.targets is None else dataset.targets.values)


def refuse_others(about: Mapping[str, Any], path: str) -> None:
    """Raise UserError if the metadata of a file of weights are of no classifier of classes."""
    kind = about.get("answers", CLASS)
    if kind != CLASS:
        raise UserError(
            f"{path} answers with {SAID.get(kind, kind)}, this stage tests classifiers that answer "
            "with a class"
        )
