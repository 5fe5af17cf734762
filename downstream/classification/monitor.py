"""kNN accuracy of an encoder while it is pretrained."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from downstream.classification.features import extract
from downstream.classification.knn import check_k, knn_predict
from downstream.classification.labels import check_labels
from downstream.classification.scaling import standardized
from mae_core.data.images import ImageDataset
from mae_core.engine.hooks import ReportHook, random_state, set_random_state
from mae_core.engine.sharded import ShardedRunner
from mae_core.errors import UserError
from mae_core.stage import SilentReporter


@HOOKS.register_module()
class KNNMonitor(Hook):
    """Log `val/knn/top1` every few epochs of a pretraining, and after the last.

    The pretraining itself stays the same to the bit. Of several processes one computes.

    Args:
        train_data: arguments of `ImageDataset`, the labelled images that vote.
        val_data: those that are classified.
        every: epochs between two evaluations.
        k: neighbours.
        temperature: as in :func:`downstream.classification.knn.knn_predict`.
        pool: of the features, see :meth:`mae_core.encoders.Encoder.pooled`.
        batch_size: images encoded at once.
        num_workers: processes that read images.
        standardize: as in :mod:`downstream.classification.scaling`.
    """

    priority = "LOW"  # before a checkpoint is written: what it has behind it was reported

    def __init__(
        self,
        train_data: Mapping[str, Any],
        val_data: Mapping[str, Any],
        every: int = 1,
        k: int = 20,
        temperature: float = 0.07,
        pool: str = "avg",
        batch_size: int = 256,
        num_workers: int = 0,
        standardize: bool = False,
    ) -> None:
        self.standardize = standardize
        self.every, self.k, self.temperature = every, k, temperature
        self.splits = [ImageDataset(**train_data), ImageDataset(**val_data)]
        self.reading = {"pool": pool, "batch_size": batch_size, "num_workers": num_workers}
        check_labels(*self.splits)
        check_k(k, self.splits[0])

    def before_train(self, runner: Runner) -> None:
        """Raise UserError if the model is shared among processes."""
        if isinstance(runner, ShardedRunner):
            raise UserError("KNNMonitor needs the whole model in each process: sharded=False")

    def after_train_epoch(self, runner: Runner) -> None:
        """Evaluate if it is time, and report."""
        due = self.every_n_epochs(runner, self.every) or self.is_last_train_epoch(runner)
        if due and is_main_process():
            report = next(hook for hook in runner.hooks if isinstance(hook, ReportHook))
            report.after_val_epoch(runner, {"knn/top1": self.top1(runner)})

    def top1(self, runner: Runner) -> float:
        """Accuracy on the val images, 0 to 1; leaves model and random states as they are."""
        model = cast(Any, runner.model.module if is_model_wrapper(runner.model) else runner.model)
        encoder, state, training = model.method.encoder, random_state(), model.training
        config = cast(Config, SimpleNamespace(pixels=runner.cfg.pixels, **self.reading))
        model.eval()
        train, val = (extract(encoder, part, config, SilentReporter()) for part in self.splits)
        model.train(training)
        set_random_state(state)
        if self.standardize:
            train, val = standardized(train, val)
        y, wanted = (torch.from_numpy(part.labels) for part in self.splits)
        (found,) = knn_predict(train, y, val, [self.k], self.temperature)
        return float((found == wanted).float().mean())
