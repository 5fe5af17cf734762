"""The first update that was not finite, kept for :mod:`mae_core.replay`."""

import json
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mae_core.engine.finite import FiniteOptimWrapper
from mae_core.engine.optim import unwrapped
from mae_core.engine.sharded import ShardedRunner
from mae_core.files import replacing
from mae_core.stage import Reporter


class CaptureHook(Hook):
    """Stores weights and images of the first update whose gradients are not finite.

    Such an update is skipped (:mod:`mae_core.engine.finite`), so that the weights are those that it
    was computed with. `not_finite.pth` in the work dir, or `not_finite_<rank>.pth` of other
    processes than the first, is a dict of plain data and tensors:

    - `step`: int, from 1.
    - `config`: the stage's, as JSON.
    - `weights`: of the model.
    - `input_size`: (H, W) that it made the images, or None.
    - `batches`: of the update, each as the loader gave it, several with accumulation.

    Args:
        reporter: is told.
        interval: updates between two looks where a look waits for the device; on CPUs each update
            is looked at.
    """

    priority = "VERY_HIGH"  # before anything else moves

    def __init__(self, reporter: Reporter, interval: int = 10) -> None:
        self.reporter, self.interval = reporter, interval
        self.batches: list[Any] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Store the update that ends with this step, if it is the first."""
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, FiniteOptimWrapper):
            return
        self.batches.append(data_batch)
        steps = wrapper._accumulative_counts
        if not self.every_n_train_iters(runner, steps):
            return
        due = self.every_n_train_iters(runner, self.interval * steps)
        if (due or wrapper.streak.device.type == "cpu") and wrapper.streak:
            self.store(runner)
        self.batches.clear()

    def store(self, runner: Runner) -> None:
        """Write the file, unless there is one; a full disk ends no training."""
        rank = get_rank()
        path = Path(runner.work_dir, f"not_finite_{rank}.pth" if rank else "not_finite.pth")
        model = unwrapped(runner.model)
        if isinstance(runner, ShardedRunner):
            model = runner.whole_model()  # of all processes, which find the same
        if path.exists():
            return
        content = {
            "step": runner.iter + 1,
            "config": json.dumps(runner.cfg.to_dict()),
            "weights": model.state_dict(),
            "input_size": unwrapped(runner.model).input_size,
            "batches": self.batches,
        }
        try:
            with replacing(path) as part:
                torch.save(content, part)
        except OSError as error:
            self.reporter.note(f"{path} was not written: {error}")
            return
        self.reporter.note(
            f"the gradients of step {runner.iter + 1} are not finite; its weights and images are "
            f"kept: `mae-bench replay {path}` tells where the numbers end"
        )
