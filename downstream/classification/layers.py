"""Which of an encoder's layers frozen features come from: the last, one by its number, or the best.

The best is chosen on a part of the train images, as the rate of the linear grid is; val images do
not take part.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray

from downstream.classification.metrics import TOP1
from mae_core.data.images import ImageDataset
from mae_core.data.sources.base import NO_LABEL, Groups
from mae_core.data.sources.groups import whole_groups
from mae_core.data.sources.select import bounds, stratified
from mae_core.data.sources.targets import Targets
from mae_core.encoders import Encoder
from mae_core.errors import UserError

BEST = "best"
CHOOSING = ("knn", "retrieval", "linear-probe", "few-shot")  # these can, on a held-out part
DRAWS = 100  # of whole groups, tried before none is taken to have all classes on both sides
SEEDS = 1_000_003  # between the seeds of two draws: no seed that a run has beside another
SUITE = "suite"  # can, too, on the part of its examples that chooses the penalty
Columns = tuple[int, int]  # the first, and the one behind the last


def has_best(config: Config) -> bool:
    """Whether the stage is to choose a layer."""
    return bool(config.get("layer") == BEST)


def layer_columns(config: Config, encoder: Encoder) -> list[Columns]:
    """The columns of features that each layer has; of all layers, or of the one of the config.

    Args:
        config: `pool`, and `layer`: a number, 'best', or without it the last one.
        encoder: of any device.

    Raises:
        UserError: if it has no such pooling, or no such layer.
    """
    pool, layer = config.pool, config.get("layer")
    if not isinstance(pool, str):
        raise UserError(f"pool={pool!r}: expected the name of one, such as 'avg' or 'own'")
    if layer == BEST:
        try:
            widths = [encoder.pooled_width(pool, number) for number in range(len(encoder.widths))]
        except UserError as error:
            raise UserError(f"layer='best' looks at every layer: {error}") from error
    else:
        widths = [encoder.pooled_width(pool, layer)]
    ends = list(accumulate(widths))
    return list(zip([0, *ends], ends, strict=False))


def pooled_of(config: Config, encoder: Encoder, images: torch.Tensor) -> torch.Tensor:
    """Features (N, columns) of normalised images (N, C, H, W), see :func:`layer_columns`."""
    layer = config.get("layer")
    if layer == BEST:
        return torch.cat(encoder.pooled_layers(images, config.pool), dim=1)
    if layer is None:
        return encoder.pooled(images, config.pool)
    return encoder.pooled(images, config.pool, layer=layer)


def check_choice(config: Config, train: ImageDataset) -> None:
    """Raise UserError if a stage that is to choose a layer could not.

    Args:
        config: of a stage.
        train: its labelled train images.
    """
    stage = config.get("stage")
    if not has_best(config) or stage == SUITE:
        return
    if stage not in CHOOSING:
        raise UserError(
            f"layer='best': {stage} does not choose one, {', '.join((*CHOOSING, SUITE))} do: "
            "expected the number of a layer, or None for the last"
        )
    part = config.get("held_out")
    if isinstance(part, bool) or not isinstance(part, int | float) or not 0 < part < 1:
        raise UserError(
            f"layer='best' needs held_out, the share of the train images that chooses, above 0 and "
            f"below 1, such as held_out=0.1; found held_out={part!r}"
        )
    chooses = held_out(
        strata_of(train.labels, train.targets), train.classes, train.source.groups, config
    )
    if len(chooses) == len(train):
        raise UserError(f"held_out={part} leaves no train image to learn: make it smaller")


def strata_of(labels: NDArray[Any], targets: Targets | None) -> NDArray[np.int64]:
    """(N,): of which an equal share is drawn, the classes where images have one each.

    Args:
        labels: (N,) of the images, or whatever is as long where they have `targets`.
        targets: of the images, if these are no classes.
    """
    return labels if targets is None else np.zeros(len(labels), dtype=np.int64)


def check_decides(config: Config, settings: int = 1) -> None:
    """Raise UserError if `decides` is set where a stage chooses neither layer nor setting.

    Args:
        config: of a stage.
        settings: how many it chooses among beside layers.
    """
    name = config.get("decides") or TOP1
    if name != TOP1 and not has_best(config) and settings < 2:
        raise UserError(
            f"decides={name!r}: {config.stage} has nothing to choose by it: set layer='best', or "
            "for a linear probe on features more `rates` or `decays`, or leave decides out"
        )


def held_out(
    labels: NDArray[np.int64], classes: Sequence[str], groups: Groups | None, config: Config
) -> NDArray[np.int64]:
    """The train images that choose, a seeded share `config.held_out` of each class.

    Where groups are known they are whole groups, and so about that share: the first draw in which
    each class has some on both sides, as runs with other seeds are not to end for want of luck.

    Args:
        labels: (N,), see :func:`strata_of`.
        classes: names by label, for messages.
        groups: of the train images, or None.
        config: `held_out` and `seed`.

    Raises:
        UserError: if there would be none of a class, or of groups none that learn one in any draw.
    """
    if groups is None:
        return stratified(labels, classes, config.held_out, config.seed)
    part, missing = bounds((0.0, config.held_out)), ""
    for draw in range(DRAWS):
        chosen = whole_groups(groups, labels, part, config.seed + draw * SEEDS)
        missing = lacking(labels, chosen, classes)
        if not missing:
            return chosen
    raise UserError(
        f"held_out={config.held_out}: {missing}, as groups stay whole, in {DRAWS} draws: choose "
        "another share, or leave out `group` where images of a group are not alike"
    )


def lacking(labels: NDArray[np.int64], chosen: NDArray[np.int64], classes: Sequence[str]) -> str:
    """Which class has no group among the images `chosen`, or none among the others; '' if none."""
    known = np.unique(labels[labels != NO_LABEL])
    for who, those in (("chooses", labels[chosen]), ("learns", np.delete(labels, chosen))):
        missing = np.setdiff1d(known, those)
        if len(missing):
            return f"no group of {classes[int(missing[0])]} {who}"
    return ""


def split_off(
    labels: torch.Tensor, classes: Sequence[str], config: Config, groups: Groups | None = None
) -> torch.Tensor:
    """(N,) bool: which train images choose, see :func:`held_out`."""
    chosen = held_out(labels.numpy(), classes, groups, config)
    chooses = torch.zeros(len(labels), dtype=torch.bool)
    chooses[torch.from_numpy(chosen)] = True
    return chooses
