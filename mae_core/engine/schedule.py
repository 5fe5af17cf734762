"""The rate over a training: linear warm-up, then a half cosine (paper, A.1)."""

from typing import Any

from mmengine.optim import LinearLR
from mmengine.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupLR(LinearLR):
    """Linear warm-up of at least one step; mmengine's stays at its first rate if it has one."""

    def __init__(self, optimizer: Any, start_factor: float, end: int, **fields: Any) -> None:
        steps = max(end, 1)
        super().__init__(optimizer, start_factor if steps > 1 else 1.0, end=steps, **fields)


def warmup_cosine(max_epochs: int, warmup_epochs: float) -> list[dict[str, Any]]:
    """Runner schedulers, by step, that end near rate 0 after `max_epochs`.

    A warm-up that would fill the training is cut to half of it, so that short trial runs work.
    """
    warmup = min(warmup_epochs, max_epochs / 2)
    rest = max_epochs - warmup
    by_step = {"by_epoch": True, "convert_to_iter_based": True}
    return [
        {"type": "WarmupLR", "start_factor": 1e-3, "end": warmup, **by_step},
        {"type": "CosineAnnealingLR", "begin": warmup, "end": max_epochs, "T_max": rest, **by_step},
    ]
