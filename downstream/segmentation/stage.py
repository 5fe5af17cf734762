"""The segmentation stage: train UperNet on the encoder, evaluate mean intersection over union."""

from pathlib import Path

import mmseg.datasets
import mmseg.evaluation
import mmseg.models  # noqa: F401  all three register
import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner, set_random_seed

import downstream.vit_backbone  # noqa: F401  registers the backbone
from downstream.coco_folder import IGNORED, image_suffix, semantic_classes
from downstream.overlay import PALETTE, figure_grid, legend, paint, read_image, save
from mae_core.checkpoints import save_weights
from mae_core.data.roots import resolve_root
from mae_core.engine.train import build_runner, train
from mae_core.stage import Metric, Reporter, StageResult

SHOWN = 5  # images in the picture


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Train on `config.data_root`; metric `segment/mIoU` on its val images.

    The mean is over all classes, background included.
    """
    set_random_seed(config.seed)
    classes = semantic_classes(config.data_root)
    complete(config, classes, encoder)
    runner = build_runner(config, config.model, work_dir, reporter)
    train(runner)
    found = runner.test()
    checkpoint, picture = work_dir / "segmentor.safetensors", work_dir / "overlay.png"
    save_weights(checkpoint, runner.model, encoder=dict(config.encoder), classes=classes)
    draw(runner, classes, picture)
    metrics = {"segment/mIoU": Metric(float(found["mIoU"]) / 100)}
    return StageResult(metrics, str(checkpoint), {"overlay": str(picture)})


def complete(config: Config, classes: tuple[str, ...], encoder: str) -> None:
    """Fill in what follows from the encoder and the data."""
    model = config.model
    model.backbone.update(encoder=config.encoder, source=encoder)
    model.data_preprocessor.update(config.pixels)
    model.decode_head.num_classes = len(classes)
    weight = [config.background_weight] + [1.0] * (len(classes) - 1)
    model.decode_head.loss_decode.class_weight = weight
    palette = [[0, 0, 0], *PALETTE[np.arange(len(classes) - 1) % len(PALETTE)].tolist()]
    for split, loader in (("train", config.train_dataloader), ("val", config.test_dataloader)):
        loader.dataset.update(
            data_root=str(resolve_root(config.data_root)),
            data_prefix={"img_path": split, "seg_map_path": f"{split}_masks"},
            img_suffix=image_suffix(config.data_root),
            metainfo={"classes": classes, "palette": palette},
        )


@torch.inference_mode()
def draw(runner: Runner, classes: tuple[str, ...], path: Path) -> None:
    """Image, ground truth and prediction for a few val images."""
    dataset = runner.test_dataloader.dataset
    figure, axes = figure_grid(["image", "ground truth", "prediction"], SHOWN)
    shown: set[int] = set()
    runner.model.eval()
    for column, index in enumerate(np.linspace(0, len(dataset) - 1, SHOWN).astype(int)):
        item = dataset[index]
        batch = {"inputs": [item["inputs"]], "data_samples": [item["data_samples"]]}
        predicted = runner.model.test_step(batch)[0].pred_sem_seg.data[0].cpu().numpy()
        truth = item["data_samples"].gt_sem_seg.data[0].numpy()
        image = read_image(item["data_samples"].img_path)
        for axis, labels in zip(axes[:, column], (None, truth, predicted), strict=True):
            axis.imshow(image if labels is None else tint(image, labels), interpolation="nearest")
        shown |= {*np.unique(truth), *np.unique(predicted)} - {0, IGNORED}
    legend(figure, {classes[label]: label - 1 for label in sorted(shown)})
    save(figure, path)


def tint(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`image` (H, W, 3) uint8 in the colours of `labels` (H, W); background stays as it is."""
    for label in set(np.unique(labels)) - {0, IGNORED}:
        image = paint(image, labels == label, int(label) - 1)
    return image
