"""Checkpoints of a training: written whole or not at all, every few minutes, the last ones kept."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from mae_core.engine.loop import ResumableTrainLoop
from mae_core.engine.stop import stop_requested
from mae_core.errors import Interrupted, UserError
from mae_core.files import publish, replacing, zip_is_whole

PATTERN = "step_*.pth"


@HOOKS.register_module()
class StepCheckpointHook(Hook):
    """Write `step_<n>.pth`: the state after n steps.

    In the middle of an epoch only with :class:`ResumableTrainLoop` or training by steps, and there
    also when the process is asked to stop, which then ends the training with :class:`Interrupted`;
    training by steps writes one at its end too. None is written while
    steps are skipped for gradients that are not finite, so that the last is from before.

    Args:
        interval: epochs from one checkpoint to the next; the last epoch always writes one.
        minutes: of training after which one is written in the middle of an epoch.
        keep: how many of the newest stay.
        best: keep `best.pth` too: 'loss' for the epoch of the lowest mean training loss, else the
            name of a validation metric to maximise, such as 'top1'.
        check: steps between the looks at the clock and at the wish to stop, where several processes
            have to agree on both.

    Raises:
        UserError: if the disk is full; the checkpoints before are whole.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        interval: int = 1,
        minutes: float = 10.0,
        keep: int = 2,
        best: str | None = None,
        check: int = 10,
    ) -> None:
        self.interval, self.seconds, self.keep = interval, 60 * minutes, keep
        self.best, self.check = best, check

    def before_train(self, runner: Runner) -> None:
        """Start the clock, and remove what a stopped process left half written."""
        self._written = time.monotonic()
        if is_main_process():
            for rest in Path(runner.work_dir).glob("*.pth*.part"):
                rest.unlink()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Write one if it is time, or if the process is asked to stop, and then stop."""
        step, steps = runner.iter + 1, runner.optim_wrapper._accumulative_counts
        if step % steps:
            return  # the gradients so far would be lost
        if runner.world_size > 1 and step // steps % max(self.check // steps, 1):
            return
        stop, due = agreed(stop_requested(), time.monotonic() - self._written > self.seconds)
        by_step = isinstance(runner.train_loop, IterBasedTrainLoop)
        due |= by_step and step == runner.max_iters
        resumable = by_step or isinstance(runner.train_loop, ResumableTrainLoop)
        if (stop or (due and healthy(runner))) and resumable:
            self._write(runner, step, epoch=runner.epoch)
        if stop:
            raise Interrupted("asked to stop")

    def after_train_epoch(self, runner: Runner) -> None:
        """Write one at the interval and at the end."""
        epoch = runner.epoch + 1
        if (epoch % self.interval == 0 or epoch == runner.max_epochs) and healthy(runner):
            self._write(runner, runner.iter, epoch)
            if self.best == "loss":
                steps = len(runner.train_dataloader)
                self._compare(runner, -runner.message_hub.get_scalar("train/loss").mean(steps))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Note whether the last checkpoint is the best so far."""
        if self.best and self.best in (metrics or {}):
            self._compare(runner, (metrics or {})[self.best])

    def _write(self, runner: Runner, step: int, epoch: int) -> None:
        """Write the state after `step` steps and `epoch` whole epochs, drop the oldest."""
        folder, name = Path(runner.work_dir), f"step_{step}.pth"
        runner.logger.info(f"Saving checkpoint {name}, epoch {epoch}")
        part = folder / f"{name}.part"
        runner.call_hook("fetch_losses")
        try:
            runner.save_checkpoint(str(folder), part.name, meta={"epoch": epoch, "iter": step})
            if is_main_process():
                publish(part, folder / name)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise UserError(cannot_write(folder, name, error)) from error
        if is_main_process():
            for old in checkpoints(folder)[self.keep :]:
                old.unlink()
        barrier()
        self._written = time.monotonic()

    def _compare(self, runner: Runner, score: float) -> None:
        known = runner.message_hub.runtime_info.get("best_score", -float("inf"))
        if score > known:
            runner.message_hub.update_info("best_score", float(score))
            newest = checkpoints(Path(runner.work_dir))[:1]
            if is_main_process() and newest:
                with replacing(newest[0].with_name("best.pth")) as link:
                    os.link(newest[0], link)  # no second copy of gigabytes


def healthy(runner: Runner) -> bool:
    """Whether the last step was not skipped by :class:`FiniteOptimWrapper`."""
    return not float(getattr(runner.optim_wrapper, "streak", 0))


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first."""
    found = (path for path in folder.glob(PATTERN) if step_of(path) >= 0)
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """The step of a checkpoint, from its name; -1 if that is no checkpoint's."""
    number = path.stem.removeprefix("step_")
    return int(number) if number.isdigit() else -1


def agreed(*flags: bool) -> list[bool]:
    """Which flags are set in at least one process, the same answer in all."""
    shared = torch.tensor(flags, dtype=torch.int32)
    all_reduce(shared, "max")
    return [bool(flag) for flag in shared.tolist()]


def cannot_write(folder: Path, name: str, error: OSError) -> str:
    """What to tell the user when a checkpoint was not written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    left = checkpoints(folder)
    good = f"{left[0]} is whole" if left else "there is none before"
    return (
        f"the checkpoint {folder / name} cannot be written ({error.strerror}); {good}: "
        f"{'make room' if full else 'mend that'} and run the same command again"
    )


def resume_point(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`; to be called in all processes.

    The main one reads them, as that takes a while, and all get its answer.

    Raises:
        UserError: if all are damaged, or one holds more than weights and plain state.
    """
    answer: list[Any] = [None]
    if is_main_process():
        try:
            answer = [newest_whole(folder)]
        except UserError as error:
            answer = [error]
    broadcast_object_list(answer)
    if isinstance(answer[0], UserError):
        raise answer[0]
    return answer[0]


def newest_whole(folder: Path) -> Path | None:
    """As :func:`resume_point`, in one process."""
    found = checkpoints(folder)
    for path in found:
        if is_whole(path):
            return path
    if found:
        raise UserError(
            f"{found[0]} is damaged, so training cannot resume from it: delete it and run the same "
            "command again, which then starts anew"
        )
    return None


def is_whole(path: Path) -> bool:
    """Whether torch reads `path` and all of it fits its check sums; False if it is damaged.

    torch itself looks at no check sum. All of the file is read once, about 1 GB a second.

    Raises:
        UserError: if it holds code; mmengine itself would only warn and then run it.
    """
    try:
        if not zip_is_whole(path):  # first: with bits turned, a name of plain state looks like code
            return False
        torch.load(path, map_location="meta", weights_only=True, mmap=True)
    except Exception as error:  # a damaged pickle raises anything
        if "Weights only load failed" in str(error):
            raise UserError(
                f"{path} holds code, so training does not resume from it: delete it and run the "
                "same command again"
            ) from error
        return False
    return True
