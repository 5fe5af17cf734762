"""Hooks on mmengine's Runner: reporting, and an exact resume from plain checkpoints."""

import math
import random
import time
from typing import Any, cast

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.hooks import EMAHook, Hook, RuntimeInfoHook
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mae_core.engine.batch import Batch
from mae_core.errors import UserError
from mae_core.stage import Reporter


class ReportHook(Hook):
    """Tell a reporter the progress, and every `interval` training steps loss, rate and speed."""

    priority = "LOW"  # before a checkpoint is written: what it has behind it was reported

    def __init__(self, reporter: Reporter, interval: int = 10) -> None:
        self.reporter = reporter
        self.interval = interval

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock, also after an evaluation or a return to an earlier step."""
        self._clock, self._last = time.perf_counter(), runner.iter

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Report at the interval and at the last step."""
        step, total = runner.iter + 1, runner.max_iters
        if step % self.interval and step != total:
            return
        now = time.perf_counter()
        images = (step - self._last) * runner.train_dataloader.batch_size * runner.world_size
        scalars = runner.message_hub.log_scalars
        values = {
            key.removeprefix("train/"): float(buffer.mean(self.interval))
            for key, buffer in scalars.items()
            if key.startswith("train/") and "time" not in key
        }
        speed = images / (now - self._clock)
        self._clock, self._last = now, step
        self.reporter.log({**values, "images_per_second": speed}, step)
        shown = {"loss": values["loss"]} if "loss" in values else {}
        self.reporter.progress(step, total, "step", **shown, images_per_s=speed)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Report how far an evaluation is."""
        self.reporter.progress(batch_idx + 1, len(runner.val_dataloader), "evaluation step")

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Report how far the last evaluation is."""
        self.reporter.progress(batch_idx + 1, len(runner.test_dataloader), "evaluation step")

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report what an evaluation found."""
        found = {f"val/{k}": float(v) for k, v in (metrics or {}).items() if np.isscalar(v)}
        self.reporter.log(found, runner.iter)


@HOOKS.register_module()
class BatchedRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's hook, but losses leave the device only every `interval` steps, all at once.

    To fetch one waits for the device, which then has nothing to do until the next step is queued.
    Of several processes the losses' means are kept.
    """

    def __init__(self, interval: int = 10) -> None:
        super().__init__()
        self.interval = interval
        self._waiting: list[dict[str, torch.Tensor]] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Keep the step's losses; fetch at the interval and at the end of an epoch."""
        self._waiting.append({key: value.detach() for key, value in outputs.items()})
        due = self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        if due or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self.fetch_losses(runner)

    def fetch_losses(self, runner: Runner) -> None:
        """Fetch those that wait, also before a checkpoint is written."""
        if not self._waiting:
            return
        names = [key for step in self._waiting for key in step]
        values = torch.cat([torch.stack([*step.values()]) for step in self._waiting])
        all_reduce(values, "mean")
        for name, value in zip(names, values.tolist(), strict=True):
            if math.isfinite(value):  # others are counted by DivergenceHook
                runner.message_hub.update_scalar(f"train/{name}", value)
        self._waiting.clear()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Forget the steps that training goes back over."""
        self._waiting.clear()


class RandomStateHook(Hook):
    """Keep the random states in the checkpoint, so that a resumed run draws what it would have.

    An evaluation leaves the states as it found them: a run that resumes from the checkpoint before
    it does not repeat it.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the states of Python, NumPy and torch."""
        checkpoint["random_state"] = random_state()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Restore them."""
        set_random_state(checkpoint["random_state"])

    def before_val(self, runner: Runner) -> None:
        """Note the states."""
        self._before_val = random_state()

    def after_val(self, runner: Runner) -> None:
        """Restore them."""
        set_random_state(self._before_val)


class AverageHook(EMAHook):
    """mmengine's moving average of the weights, taken after each update, not after each step.

    Args:
        decay: the share of the average that stays at an update, above 0 to below 1.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(momentum=1 - decay)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Average if this step made an update; the weights are as before if it did not."""
        if self.every_n_train_iters(runner, runner.optim_wrapper._accumulative_counts):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)


class SharedStatisticsHook(Hook):
    """Give several processes the mean of what their batch norms have gathered, after each step.

    Each sees other images. Without it every process would test a model of its own, and one that was
    resumed would go on with the first one's.
    """

    priority = "VERY_HIGH"  # before averages and checkpoints are made

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Average means and variances, all in one message."""
        buffers = gathered(runner.model)
        if not buffers:
            return
        flat = torch.cat([one.flatten() for one in buffers])
        all_reduce(flat, "mean")
        for one, mean in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
            one.copy_(mean.view_as(one))


def gathered(model: nn.Module) -> list[torch.Tensor]:
    """The running means and variances of all batch norms that gather them now."""
    norms = [one for one in model.modules() if isinstance(one, _BatchNorm) and one.training]
    found = [buffer for one in norms for buffer in (one.running_mean, one.running_var)]
    return [buffer for buffer in found if buffer is not None]


class SameBatchHook(Hook):
    """Refuse to resume with another batch, as a step would then mean other images."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note the images of a step and of an update."""
        checkpoint["images"] = {"step": self.batch.step, "update": self.batch.update}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare. Raises UserError."""
        known, batch = checkpoint["images"], self.batch
        if known != {"step": batch.step, "update": batch.update}:
            raise UserError(
                f"the training in {runner.work_dir} has {known['step']} images a step and "
                f"{known['update']} an update; now it is {batch.step} ({batch.devices} device(s) "
                f"of {batch.micro}) and {batch.update}: choose train_dataloader.batch_size and the "
                "number of devices so that both stay"
            )


class PlainHistoryHook(Hook):
    """Keep mmengine's logged values in the checkpoint as lists.

    Its own objects hold methods, which torch's `weights_only` refuses to read.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Buffers and NumPy scalars to plain Python."""
        hub = checkpoint["message_hub"]
        hub["log_scalars"] = {
            key: [part.tolist() for part in buffer.data]
            for key, buffer in hub["log_scalars"].items()
        }
        hub["runtime_info"] = {
            key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            for key, value in hub["runtime_info"].items()
        }

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Lists to buffers."""
        hub = checkpoint["message_hub"]
        hub["log_scalars"] = {
            key: HistoryBuffer(values, counts)
            for key, (values, counts) in hub["log_scalars"].items()
        }


def random_state() -> dict[str, Any]:
    """The states of Python, NumPy and torch, as types that `weights_only` reads.

    Of GPUs only this process's own: the processes of one training draw alike.
    """
    kind, keys, *rest = cast(tuple[Any, ...], np.random.get_state(legacy=True))
    return {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what :func:`random_state` returned."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"].cpu())
