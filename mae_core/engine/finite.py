"""Updates whose gradients are not finite are skipped; after several in a row training goes back."""

from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner

from mae_core.engine.loop import Diverged
from mae_core.engine.sharded import whole
from mae_core.engine.step_checkpoints import resume_point
from mae_core.errors import UserError
from mae_core.stage import Reporter


@OPTIM_WRAPPERS.register_module()
class FiniteOptimWrapper(OptimWrapper):
    """Leaves weights and optimizer as they are where a gradient is infinite or not a number.

    With a fused optimizer the decision stays on the device: no step waits for it.

    Attributes:
        skipped: () float32 on the device, updates skipped so far.
        streak: () float32 on the device, updates skipped in a row up to now.
    """

    skipped = torch.zeros(())
    streak = torch.zeros(())

    def step(self, **kwargs: Any) -> None:
        """Update the parameters, unless the norm of their gradients is not finite."""
        groups = self.optimizer.param_groups
        grads = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        bad = whole(torch.nn.utils.get_total_norm(grads)).isfinite().logical_not().float()
        self.skipped = self.skipped.to(bad.device) + bad
        self.streak = (self.streak.to(bad.device) + 1) * bad
        if self.optimizer.defaults.get("fused"):
            self.optimizer.found_inf = bad
        elif bad:
            return
        super().step(**kwargs)


class DivergenceHook(Hook):
    """Tells of skipped updates, and after too many in a row goes back with a lower rate.

    Args:
        reporter: gets told.
        interval: updates between two looks at the device's counts.
        patience: skipped updates in a row, found at a look, after which training goes back to its
            last checkpoint.
        factor: of the learning rate at each return, above 0 to below 1.
        returns: how often a process goes back before it gives up.

    Raises:
        UserError: if there is no checkpoint yet, or going back has not helped.
    """

    def __init__(
        self,
        reporter: Reporter,
        interval: int = 10,
        patience: int = 5,
        factor: float = 0.5,
        returns: int = 3,
    ) -> None:
        self.reporter, self.interval, self.patience = reporter, interval, patience
        self.factor, self.returns = factor, returns
        self.told = self.returned = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at the interval and at the last step. Raises Diverged after too many skips."""
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, FiniteOptimWrapper):
            return
        steps = self.interval * wrapper._accumulative_counts
        if not (self.every_n_train_iters(runner, steps) or self.is_last_train_iter(runner)):
            return
        skipped, streak = torch.stack([wrapper.skipped, wrapper.streak]).int().tolist()
        if skipped > self.told:
            self.reporter.note(
                f"{skipped - self.told} updates up to step {runner.iter + 1} were skipped, as "
                "their gradients were not finite"
            )
            self.told = skipped
        if streak >= self.patience:
            raise Diverged

    def roll_back(self, runner: Runner) -> None:
        """Load the last checkpoint and lower the rate."""
        self.returned += 1
        last = resume_point(Path(runner.work_dir))
        if last is None or self.returned > self.returns:
            raise UserError(
                f"the training diverges at step {runner.iter + 1}: its gradients stay infinite or "
                "not a number"
                + (f", also after {self.returns} returns" if last else "")
                + ". Lower the learning rate, lengthen the warm-up, or look for broken input"
            )
        hub = runner.message_hub
        wanted = self.factor * hub.runtime_info.get("rate_factor", 1.0)
        runner.resume(str(last))
        scale_rates(runner, wanted / hub.runtime_info.get("rate_factor", 1.0))
        hub.update_info("rate_factor", wanted)
        wrapper = runner.optim_wrapper
        wrapper.initialize_count_status(runner.model, runner.iter, runner.max_iters)
        wrapper.zero_grad()
        wrapper.streak = torch.zeros_like(wrapper.streak)
        self.reporter.note(
            f"the training diverged; it goes on from {last.name} with {wanted:g} times the "
            "recipe's learning rate"
        )


def scale_rates(runner: Runner, factor: float) -> None:
    """Multiply the learning rates, now and for the rest of the schedule."""
    for group in runner.optim_wrapper.param_groups:
        for rate in {"lr", "initial_lr"} & group.keys():
            group[rate] *= factor
    for scheduler in runner.param_schedulers or []:
        scheduler.base_values = [value * factor for value in scheduler.base_values]
        scheduler._last_value = [value * factor for value in scheduler._last_value]
