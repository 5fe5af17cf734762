"""What became of every single case: one right or wrong an image, one accuracy an episode.

Rows of a benchmark that were tested on the same cases can be compared in pairs, which shows much
smaller differences than two intervals side by side.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

FILE = "outcomes.npz"


def save_outcomes(work_dir: Path, outcomes: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Write the cases' outcomes beside a stage's result; the entry for its `artifacts`.

    Args:
        work_dir: of the stage.
        outcomes: by metric, such as `knn/top1`: bool or float in 0 to 1, of shape (N,) for N cases,
            or (S, N) for S trainings tested on the same cases. The metric is their mean.
    """
    path = work_dir / FILE
    arrays: dict[str, Any] = {name: value.cpu().numpy() for name, value in outcomes.items()}
    np.savez_compressed(path, **arrays)
    return {"outcomes": str(path)}


def load_outcomes(path: Path | BytesIO) -> dict[str, NDArray[np.generic]]:
    """What :func:`save_outcomes` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
