"""Epochs that a resumed run enters where it left them, and goes back in when it diverged."""

from collections.abc import Iterator
from typing import Any

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop

from mae_core.engine.hooks import random_state, set_random_state


class Diverged(Exception):
    """Losses stay non-finite: go back to the last checkpoint."""


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop by epoch, with three differences.

    It goes on in the middle of an epoch, without the batches that it has behind it; evaluates after
    a resume what the stopped run may not have evaluated; and when a hook raises :class:`Diverged`
    goes on from the checkpoint that `runner.roll_back` loads.
    """

    def run(self) -> Any:
        """Train to the last epoch."""
        self.runner.call_hook("before_train")
        if self._iter and self._iter == self._epoch * len(self.dataloader):
            self._evaluate()
        while self._epoch < self._max_epochs:
            try:
                self.run_epoch()
            except Diverged:
                self.runner.call_hook("roll_back")
            else:
                self._evaluate()
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Iterate what is left of an epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        for number, batch in enumerate(self._batches(done), start=done):
            self.run_iter(number, batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def _batches(self, done: int) -> Iterator[Any]:
        """The epoch's batches without the first `done`; leaves the random states as they are."""
        if done == len(self.dataloader):
            return iter(())
        before = random_state()
        sampler = self.dataloader.sampler
        if hasattr(sampler, "skip"):
            sampler.skip(done * self.dataloader.batch_size)
            done = 0
        batches = iter(self.dataloader)
        for _ in range(done):
            next(batches)
        set_random_state(before)
        return batches

    def _evaluate(self) -> None:
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due:
            self.runner.val_loop.run()
