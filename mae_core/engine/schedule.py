"""The rate over a training: linear warm-up, then a half cosine (paper, A.1)."""

from typing import Any

from mmengine.hooks import ParamSchedulerHook
from mmengine.optim import LinearLR
from mmengine.registry import HOOKS, PARAM_SCHEDULERS
from mmengine.runner import Runner


@PARAM_SCHEDULERS.register_module()
class WarmupLR(LinearLR):
    """Linear warm-up of at least one step; mmengine's stays at its first rate if it has one."""

    def __init__(self, optimizer: Any, start_factor: float, end: int, **fields: Any) -> None:
        steps = max(end, 1)
        super().__init__(optimizer, start_factor if steps > 1 else 1.0, end=steps, **fields)


@HOOKS.register_module()
class UpdateSchedulerHook(ParamSchedulerHook):
    """mmengine's hook, but rates stay the same over the steps that make one update."""

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """After an update, move the schedules by as many steps as it took."""
        steps = runner.optim_wrapper._accumulative_counts
        if (runner.iter + 1) % steps == 0:
            for _ in range(steps):
                super().after_train_iter(runner, batch_idx, data_batch, outputs)


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
