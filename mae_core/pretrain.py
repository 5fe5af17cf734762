"""The pretraining stage: a MAE on unlabelled images."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.model import BaseModel
from mmengine.runner import Runner, set_random_seed

from mae_core.checkpoints import save_weights
from mae_core.data.images import ImageDataset
from mae_core.data.normalize import Normalize
from mae_core.drop_path import draw_paths
from mae_core.engine.auto_batch import resolve_batch_size
from mae_core.engine.batch import check_batch
from mae_core.engine.sharded import is_sharded
from mae_core.engine.train import build_runner, train, use_average
from mae_core.figures import draw_reconstructions
from mae_core.mae import MAE
from mae_core.models import create_model
from mae_core.noise import uniform
from mae_core.plots import drawn
from mae_core.stage import Metric, Reporter, StageResult


class MAEPretrainer(BaseModel):
    """A MAE as the Runner wants it."""

    def __init__(self, mae: MAE, preprocessor: Normalize) -> None:
        super().__init__(data_preprocessor=preprocessor)
        self.mae = mae

    def forward(
        self, inputs: torch.Tensor, seed: torch.Tensor, mode: str = "loss", **_: Any
    ) -> dict[str, torch.Tensor]:
        """Images (N, C, H, W) normalised -> `{"loss": ()}`; image i is masked as seed i says."""
        rows, columns = self.mae.encoder.grid
        draw_paths(self.mae.encoder, seed)
        return {"loss": self.mae(inputs, uniform(seed, rows * columns)).loss}


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Pretrain from random weights.

    `config.compile` is True, False, or None for "on a GPU, unless sharded". `config.ema` is the
    decay of a moving average of the weights, which is then what the stage returns, or None.

    Returns the encoder as checkpoint, and `mae.safetensors` (with decoder) and the reconstruction
    picture as artifacts. `encoder` is unused: pretraining makes it.
    """
    set_random_seed(config.seed)
    model = MAEPretrainer(create_model(**config.encoder, **config.mae), Normalize(**config.pixels))
    on_gpu = torch.cuda.is_available() and not is_sharded(config)
    if config.compile or (config.compile is None and on_gpu):
        model.mae.compile()
    images = ImageDataset(**config.train_dataloader.dataset)
    resolve_batch_size(config, model, images, work_dir, reporter)
    runner = build_runner(config, model, work_dir, reporter, {"train_dataloader": images})
    train(runner)
    if not is_main_process():
        return StageResult()
    use_average(runner)
    return export(model, config, work_dir, mean_loss(runner, updates=100), reporter)


def mean_loss(runner: Runner, updates: int) -> float:
    """The training loss, averaged over the last `updates`."""
    steps = updates * runner.optim_wrapper._accumulative_counts
    return float(runner.message_hub.get_scalar("train/loss").mean(steps))


def check(config: Config, encoder: str) -> None:
    """Raise UserError for sizes or a batch that do not do, or a ratio that masks all or nothing.

    Also if there are no train images, or an image of the preview cannot be read: it is drawn at the
    very end.
    """
    check_batch(config)
    with torch.device("meta"):
        create_model(**config.encoder, **config.mae)
    ImageDataset(**config.train_dataloader.dataset)
    preview_images(config)


def export(
    model: MAEPretrainer, config: Config, work_dir: Path, loss: float, reporter: Reporter
) -> StageResult:
    """Write weights and picture of a trained model; without the picture, if that fails."""
    mae = model.mae
    encoder_file, mae_file = work_dir / "encoder.safetensors", work_dir / "mae.safetensors"
    about: dict[str, Any] = {"encoder": mae.encoder.config, "pixels": dict(config.pixels)}
    save_weights(encoder_file, mae.encoder, **about)
    save_weights(mae_file, mae, mae=mae.config, **about)

    def draw(picture: Path) -> None:
        images = preview_images(config)
        draw_reconstructions(mae, model.data_preprocessor, images, picture, seed=config.seed)

    picture = drawn(work_dir / "reconstruction.png", draw, reporter)
    return StageResult(
        metrics={"pretrain/loss": Metric(loss)},
        checkpoint=str(encoder_file),
        artifacts={**picture, "mae": str(mae_file)},
    )


def preview_images(config: Config, count: int = 8) -> torch.Tensor:
    """(count, C, H, W) uint8: the preview's images, or train's without any; spread over classes."""
    data = config.preview.get("data") or config.train_dataloader.dataset.data
    dataset = ImageDataset(**{**config.preview, "data": data})
    step = max(len(dataset) // count, 1)
    return torch.stack([dataset[i * step]["inputs"] for i in range(min(count, len(dataset)))])
