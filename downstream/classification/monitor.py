"""What an encoder is worth while it is pretrained."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from sklearn.linear_model import LogisticRegression

from downstream.analysis.rank import rankme
from downstream.classification.features import extract
from downstream.classification.knn import check_k, knn_predict
from downstream.classification.labels import check_labels
from downstream.classification.logistic import FEW, ITERATIONS, fit_quietly
from downstream.classification.scaling import standardized
from downstream.statistics import share
from mae_core.data.images import ImageDataset
from mae_core.engine.hooks import ReportHook, random_state, set_random_state
from mae_core.engine.optim import unwrapped
from mae_core.engine.sharded import ShardedRunner
from mae_core.errors import UserError
from mae_core.stage import SilentReporter


@HOOKS.register_module()
class EncoderMonitor(Hook):
    """Log figures of the frozen encoder every few epochs of a pretraining, and after the last.

    - `val/knn/top1`: accuracy of the nearest neighbours, 0 to 1.
    - `val/linear-probe/top1`: of a logistic regression on standardised features, 0 to 1, with one
      penalty for all encoders. The stage `linear-probe` trains otherwise and finds other values.
    - `val/rankme`: how many dimensions the features of the val images fill, 1 to their width, see
      :func:`downstream.analysis.rank.rankme`; no label has a say in it.

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
        standardize: features for kNN, as in :mod:`downstream.classification.scaling`.
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
            raise UserError("EncoderMonitor needs the whole model in each process: sharded=False")

    def after_train_epoch(self, runner: Runner) -> None:
        """Evaluate if it is time, and report."""
        due = self.every_n_epochs(runner, self.every) or self.is_last_train_epoch(runner)
        if due and is_main_process():
            report = next(hook for hook in runner.hooks if isinstance(hook, ReportHook))
            report.after_val_epoch(runner, self.figures(runner))

    def figures(self, runner: Runner) -> dict[str, float]:
        """By name, without 'val/'; leaves model and random states as they are."""
        model = unwrapped(runner.model)
        encoder, state, training = model.method.encoder, random_state(), model.training
        config = Config({"pixels": runner.cfg.pixels, **self.reading})
        model.eval()
        train, val = (extract(encoder, part, config, SilentReporter()) for part in self.splits)
        model.train(training)
        y, wanted = (torch.from_numpy(part.labels) for part in self.splits)
        scaled = standardized(train, val)
        bank, asked = scaled if self.standardize else (train, val)
        (nearest,) = knn_predict(bank, y, asked, [self.k], self.temperature)
        figures = {
            "knn/top1": share(nearest == wanted).value,
            "linear-probe/top1": share(probed(scaled[0], y, scaled[1]) == wanted).value,
            "rankme": rankme(val),
        }
        set_random_state(state)
        return figures


def probed(x: torch.Tensor, y: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Labels (M,) of queries (M, D) by a logistic regression on x (N, D) with labels y (N,)."""
    model = LogisticRegression(C=FEW, max_iter=ITERATIONS)
    fit_quietly(model, x.numpy(), y.numpy())
    return torch.from_numpy(model.predict(queries.numpy()))
