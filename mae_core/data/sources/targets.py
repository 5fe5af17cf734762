"""What images are labelled with where it is not one class each: several labels, or a number."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mae_core.errors import UserError
from mae_core.notices import say

SHOWN = 10  # names in a message
SAID = {"labels": "several labels", "number": "a number"}  # what an image has, by kind
MAX_VALUES = 1 << 30  # images times labels, 4 GiB


@dataclass(frozen=True)
class Targets:
    """Labels of N images that are no single classes.

    Attributes:
        kind: 'labels' of images that have any number of L labels, or 'number' of those that have a
            number each.
        names: of the L labels; of a number its own alone.
        values: (N, L) float32, 1 where an image has the label and 0 where it has not; of a number
            (N, 1), in its unit, finite.
        unit: of a number, '' where it is not known.
    """

    kind: Literal["labels", "number"]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    unit: str = ""

    def only(self, indices: NDArray[np.int64]) -> "Targets":
        """Those of the images `indices`."""
        return replace(self, values=self.values[indices])


def check_size(count: int, labels: int, of: str) -> None:
    """Raise UserError if so many images and labels are more than memory should hold."""
    if count * labels > MAX_VALUES:
        raise UserError(
            f"{of} has {labels:,} labels for {count:,} images, at most {MAX_VALUES:,} pairs are "
            "kept in memory: is it a column of labels?"
        )


def tell_constant(targets: Targets, of: str) -> None:
    """Say which labels no image has, or all have, or that all have the same number.

    Args:
        targets: of one image or more.
        of: the data, for messages.
    """
    count = f"{of}: of {len(targets.values):,} images"
    if targets.kind == "number":
        if (targets.values == targets.values[0]).all():
            say(f"{count} all have the {targets.names[0]} {targets.values[0, 0]:g}")
        return
    images = targets.values.sum(axis=0, dtype=np.float64)
    for number, who in ((0, "none has"), (len(targets.values), "all have")):
        names = [targets.names[label] for label in np.flatnonzero(images == number)]
        if names:
            more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
            shown = ", ".join(f"'{name}'" for name in names[:SHOWN])
            say(f"{count} {who} the label{'s' * (len(names) > 1)} {shown}{more}")
