"""The rate over a training: linear warm-up, then a half cosine (paper, A.1)."""

from typing import Any


def warmup_cosine(max_epochs: int, warmup_epochs: float) -> list[dict[str, Any]]:
    """Runner schedulers, by step, that end at rate 0 after `max_epochs`.

    A warm-up that would fill the training is cut to half of it, so that short trial runs work.
    """
    warmup = min(warmup_epochs, max_epochs / 2)
    rest = max_epochs - warmup
    by_step = {"by_epoch": True, "convert_to_iter_based": True}
    return [
        {"type": "LinearLR", "start_factor": 1e-3, "end": warmup, **by_step},
        {"type": "CosineAnnealingLR", "begin": warmup, "end": max_epochs, "T_max": rest, **by_step},
    ]
