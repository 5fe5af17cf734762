"""What images are labelled with where it is not one class each: several labels, or a number."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray


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
