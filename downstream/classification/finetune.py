"""Fine-tuning: the whole encoder and a linear head on labelled images."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import all_gather, is_main_process
from mmengine.model import BaseModel
from mmengine.runner import Runner, set_random_seed
from torch import nn
from torch.nn import functional as F

from downstream.classification.accuracy import top1
from downstream.classification.features import check_labels, pool_tokens
from mae_core.checkpoints import build_encoder, save_weights
from mae_core.data.images import ImageDataset
from mae_core.encoder import ViTEncoder
from mae_core.engine.fit import resolve_batch_size
from mae_core.engine.preprocess import Normalize
from mae_core.engine.train import build_runner, train
from mae_core.stage import Reporter, StageResult


class Classifier(BaseModel):
    """Encoder, pooling, head.

    Args:
        encoder: trained further.
        classes: number of classes.
        preprocessor: normalises uint8 images.
        pool: 'avg' over patches or the 'cls' token.
        label_smoothing: of the cross entropy, 0 to below 1.
    """

    def __init__(
        self,
        encoder: ViTEncoder,
        classes: int,
        preprocessor: Normalize,
        pool: str = "avg",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(data_preprocessor=preprocessor)
        self.encoder = encoder
        self.pool = pool
        self.label_smoothing = label_smoothing
        self.head = nn.Linear(encoder.width, classes)
        nn.init.trunc_normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, inputs: torch.Tensor, label: torch.Tensor, mode: str = "tensor", **_: Any
    ) -> Any:
        """'loss': dict of the loss; 'predict': (N,) bool, correct or not; 'tensor': logits."""
        logits = self.head(pool_tokens(self.encoder(inputs), self.pool))
        if mode == "loss":
            smoothing = self.label_smoothing
            return {"loss": F.cross_entropy(logits, label, label_smoothing=smoothing)}
        return logits.argmax(dim=1) == label if mode == "predict" else logits


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Fine-tune on the train images; metric `fine-tune/top1` on all val images at the end."""
    set_random_seed(config.seed)
    train_data = ImageDataset(**config.train_dataloader.dataset)
    val_data = ImageDataset(**config.val_dataloader.dataset)
    check_labels(train_data, val_data)
    model = Classifier(
        build_encoder(config.encoder, encoder),
        len(train_data.classes),
        Normalize(**config.pixels),
        **config.classifier,
    )
    resolve_batch_size(config, model, train_data, work_dir, reporter)
    datasets = {"train_dataloader": train_data, "val_dataloader": val_data}
    runner = build_runner(config, model, work_dir, reporter, datasets)
    train(runner)
    correct = predict(runner)
    if not is_main_process():
        return StageResult()
    checkpoint = work_dir / "classifier.safetensors"
    save_weights(checkpoint, model, encoder=model.encoder.config, classes=train_data.classes)
    return StageResult({"fine-tune/top1": top1(correct)}, str(checkpoint))


@torch.inference_mode()
def predict(runner: Runner) -> torch.Tensor:
    """(N,) bool: which val images the trained model classifies correctly; in every process."""
    runner.model.eval()
    own = torch.cat([runner.model.val_step(batch) for batch in runner.val_dataloader])
    in_turn = torch.stack(all_gather(own), dim=1).flatten()  # as mmengine's sampler deals them
    return in_turn[: len(runner.val_dataloader.dataset)].cpu()
