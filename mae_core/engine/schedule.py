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
    """mmengine's hook, but schedules go by update: the steps that make one share a rate."""

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """After an update, move the schedules on by one."""
        if self.every_n_train_iters(runner, runner.optim_wrapper._accumulative_counts):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)


def warmup_cosine(max_epochs: int, warmup_epochs: float) -> list[dict[str, Any]]:
    """Runner schedulers, by update, that end near rate 0 after `max_epochs`.

    A warm-up that would fill the training is cut to half of it, so that short trial runs work.
    """
    warmup = min(warmup_epochs, max_epochs / 2)
    rest = max_epochs - warmup
    by_update = {"by_epoch": True, "convert_to_iter_based": True}
    return [
        {"type": "WarmupLR", "start_factor": 1e-3, "end": warmup, **by_update},
        {
            "type": "CosineAnnealingLR",
            "begin": warmup,
            "end": max_epochs,
            "T_max": rest,
            **by_update,
        },
    ]


def in_updates(schedulers: list[dict[str, Any]], epoch: int) -> list[dict[str, Any]]:
    """The schedulers, those that the Runner converts from epochs with `epoch` updates in each.

    Without it the Runner takes an epoch's steps, which are more where gradients are accumulated.
    """
    return [
        {**fields, "epoch_length": epoch} if fields.get("convert_to_iter_based") else fields
        for fields in schedulers
    ]
