"""What became of every single case: one right or wrong an image, one accuracy an episode.

Rows of a benchmark that were tested on the same cases can be compared in pairs, which shows much
smaller differences than two intervals side by side.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mae_core.files import replacing

if TYPE_CHECKING:  # reports read outcomes without torch
    from torch import Tensor

FILE = "outcomes.npz"
RESAMPLED = "resampled:"  # before the name of a metric that is no mean of cases


@dataclass(frozen=True)
class Resampled:
    """A metric that is no mean of cases, such as an average precision.

    Attributes:
        values: (1 + B,) float, on all cases and on each of B resamples of them, the same for all
            encoders tested on as many cases; of S trainings (S, 1 + B).
    """

    values: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return self.values.shape


Outcomes = NDArray[np.generic] | Resampled


def save_outcomes(work_dir: Path, outcomes: "Mapping[str, Tensor | Resampled]") -> dict[str, str]:
    """Write the cases' outcomes beside a stage's result; the entry for its `artifacts`.

    Args:
        work_dir: of the stage.
        outcomes: by metric, such as `knn/top1`: bool or float, of shape (N,) for N cases,
            or (S, N) for S trainings tested on the same cases, where the metric is their mean; or
            the metric resampled.
    """
    path = work_dir / FILE
    arrays: dict[str, Any] = {}
    for name, value in outcomes.items():
        if isinstance(value, Resampled):
            arrays[f"{RESAMPLED}{name}"] = value.values
        else:
            arrays[name] = value.cpu().numpy()
    with replacing(path) as part, part.open("wb") as content:
        np.savez_compressed(content, **arrays)
    return {"outcomes": str(path)}


def load_outcomes(path: Path | BytesIO) -> dict[str, Outcomes]:
    """What :func:`save_outcomes` wrote."""
    found: dict[str, Outcomes] = {}
    with np.load(path, allow_pickle=False) as stored:
        for name in stored.files:
            metric, values = name.removeprefix(RESAMPLED), stored[name]
            found[metric] = values if metric == name else Resampled(values)
    return found
