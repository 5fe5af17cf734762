"""Linear probe: a linear classifier on a frozen encoder, by one of two protocols.

With `train_dataloader.dataset` in the config it sees augmented images in every epoch, as in the
paper; without it features that are extracted once, see :mod:`downstream.classification.grid`.
"""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.model import BaseModel
from mmengine.runner import set_random_seed

from downstream.classification import accuracy, grid
from downstream.classification.answers import Answers, answers_of, kind_of, names_of
from downstream.classification.features import check_features, check_pool
from downstream.classification.finetune import open_images, predict
from downstream.classification.layers import check_decides, has_best
from downstream.classification.metrics import check_metrics, measured
from downstream.outcomes import save_outcomes
from mae_core.checkpoints import build_encoder, check_sizes, save_state
from mae_core.data.normalize import Normalize
from mae_core.encoders import Encoder
from mae_core.engine import lars  # noqa: F401  registers
from mae_core.engine.batch import check_batch
from mae_core.engine.train import build_runner, train
from mae_core.errors import UserError
from mae_core.for_encoder import with_encoder
from mae_core.kinds import check_kinds
from mae_core.stage import Reporter, StageResult


class FrozenProbe(BaseModel):
    """A frozen encoder, batch norm without affine parameters, a linear layer.

    As in the paper, A.1 "Linear probing"; the head begins with weights of deviation 0.01.

    Args:
        encoder: looked at, not trained.
        classes: number of classes, of labels, or 1.
        preprocessor: normalises uint8 images.
        pool: of the encoder, such as 'cls' or 'avg'.
        layer: of the encoder; the last without it.
        answers: what the head answers with; the class of each image without it.
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        preprocessor: Normalize,
        pool: str = "cls",
        layer: int | None = None,
        answers: Answers | None = None,
    ) -> None:
        super().__init__(data_preprocessor=preprocessor)
        self.encoder = encoder.requires_grad_(False)
        self.pool, self.layer = pool, layer
        self.answers = answers or Answers()
        width = encoder.pooled_width(pool, layer)
        self.norm = grid.ProbeNorm(width)
        self.head = grid.linear_head(width, classes)

    def train(self, mode: bool = True) -> "FrozenProbe":
        """As any module's, but the encoder stays in evaluation."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(
        self, inputs: torch.Tensor, label: torch.Tensor, mode: str = "tensor", **_: Any
    ) -> Any:
        """Images (N, C, H, W) and their labels: modes as :meth:`Classifier.forward`."""
        with torch.no_grad():
            features = self.encoder.pooled(inputs, self.pool, layer=self.layer)
        raw = self.head(self.norm(features))
        return {"loss": self.answers.loss(raw, label)} if mode == "loss" else self.answers(raw)


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Train the probe on train images; the metrics of :func:`measured` on val images."""
    if not on_images(config):
        return grid.run(config, encoder, work_dir, reporter)
    config = with_encoder(config, encoder, reporter)
    set_random_seed(config.seed)
    train_data, val_data = open_images(config)
    frozen = build_encoder(config.encoder, encoder)
    looks = config.pool, config.get("layer")
    names, answers = names_of(train_data), answers_of(train_data.targets)
    probe = FrozenProbe(frozen, len(names), Normalize(**config.pixels), *looks, answers)
    config.val_evaluator = accuracy.evaluator(config.val_evaluator, answers.kind)
    datasets = {"train_dataloader": train_data, "val_dataloader": val_data}
    runner = build_runner(config, probe, work_dir, reporter, datasets)
    train(runner)
    found = predict(runner)
    if not is_main_process():
        return StageResult()
    checkpoint = work_dir / "probe.safetensors"
    state = {k: v for k, v in probe.state_dict().items() if k.startswith(("norm.", "head."))}
    save_state(checkpoint, state, classes=names, **answers.about())
    metrics, outcomes = measured("linear-probe", found, config, val_data.source.groups)
    kept = save_outcomes(work_dir, outcomes)
    return StageResult(metrics, str(checkpoint), kept, labels=len(train_data))


def check(config: Config, encoder: str) -> None:
    """Raise UserError if the images' classes, the batch or the encoder's sizes cannot do."""
    config = with_encoder(config, encoder)
    check_batch(config, takes_auto=False)
    if on_images(config):
        check_sizes(config.encoder, encoder)
        check_pool(config)
        if has_best(config):
            raise UserError(
                "layer='best' is chosen on features that are extracted once, this probe sees "
                "augmented images: give the number of a layer, or a config without "
                "train_dataloader.dataset"
            )
        check_decides(config)
        train_data, _ = open_images(config)
    else:
        check_kinds(config, grid.KINDS)
        check_decides(config, len(grid.settings_of(config)))
        train_data, _ = check_features(config, encoder)
        grid.check_split(config, train_data)
    check_metrics(config, kind_of(train_data.targets))


def on_images(config: Config) -> bool:
    """Whether the probe sees images, not features."""
    return "dataset" in config.train_dataloader
