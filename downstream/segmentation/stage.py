"""The segmentation stage: train a segmentor on the encoder, evaluate intersection over union."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import mmseg.models  # noqa: F401  registers
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from torch import nn

import downstream.dense.pyramid  # noqa: F401  registers
from downstream.dense.backbone import MAEViT, place_encoder
from downstream.dense.charts import class_bars, confusion_matrix
from downstream.dense.data import (
    epochs_for,
    image_sizes,
    label_table,
    mask_splits,
    semantic_classes,
    typical_size,
)
from downstream.dense.draws import DrawnImages
from downstream.dense.masks import check_masks
from downstream.dense.rehearsal import rehearsal
from downstream.dense.stored import to_store
from downstream.dense.testing import measure_images
from downstream.outcomes import save_outcomes
from downstream.scratch import recipe_for, weights_of
from downstream.segmentation.metric import Confusion, Counts, ious, resampled_miou
from downstream.segmentation.overlay import draw_dataset
from downstream.segmentation.pairs import PairedImages
from downstream.segmentation.pipeline import (
    evaluation_pipeline,
    multiscale_pipeline,
    training_pipeline,
)
from downstream.statistics import over_resamples
from mae_core.checkpoints import save_weights
from mae_core.engine.train import build_runner, train, use_average
from mae_core.files import write_json
from mae_core.pixels import with_pixels
from mae_core.plots import drawn
from mae_core.stage import Metric, Reporter, SilentReporter, StageResult

LARGEST = 512  # pixels of a crop's side, where the size follows from the data
Files = dict[str, str]


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Train on the train images; metrics `segment/{mIoU,...}` on the val images.

    The mean is over all classes that occur, background included. With `config.multiscale` also
    `segment/mIoU_multiscale`, over several scales and mirrored images. For 'random' and
    'supervised' with the config's section `scratch`.
    """
    config, encoder = recipe_for(config, encoder), weights_of(encoder)
    config = with_pixels(config, encoder, reporter)
    set_random_seed(config.seed)
    init_default_scope(config.default_scope)
    classes = semantic_classes(config)
    tell_of_masks(config, classes, reporter)
    images = complete(config, encoder, classes)
    model = build(config, reporter)
    drawn_images = {"train_dataloader": DrawnImages(images["train"])}
    runner = build_runner(config, model, work_dir, reporter, drawn_images)
    train(runner)
    use_average(runner)
    result = finish(model, images, classes, config, work_dir, reporter)
    return replace(result, labels=len(images["train"]))


def finish(
    model: nn.Module,
    images: Mapping[str, PairedImages],
    classes: Sequence[str],
    config: Config,
    folder: Path,
    reporter: Reporter,
) -> StageResult:
    """What follows the training: measure the model, keep it, draw.

    Args:
        model: trained.
        images: to test on: 'val', and with `config.multiscale` 'multiscale'.
        classes: names by label.
        config: of the stage, complete.
        folder: for all files.
        reporter: gets progress, and notes of what could not be drawn.
    """
    metric, val = Confusion(len(classes)), images["val"]
    metrics = measure_images(model, val, metric, config.test_loader, reporter)
    if config.multiscale:
        several = Confusion(len(classes)), {**config.test_loader, "batch_size": 1}
        found = measure_images(SegTTAModel(module=model), images["multiscale"], *several, reporter)
        metrics["mIoU_multiscale"] = found["mIoU"]
    if not is_main_process():
        return StageResult()
    checkpoint = folder / "segmentor.safetensors"
    save_weights(checkpoint, model, classes=classes, config=to_store(config))
    overlay = drawn(
        folder / "overlay.png", lambda path: draw_dataset(model, val, classes, path), reporter
    )
    resampled = resampled_miou(metric.counts, config.seed)
    outcomes = save_outcomes(folder, {"segment/mIoU": resampled})
    results = {f"segment/{name}": Metric(value) for name, value in metrics.items()}
    results["segment/mIoU"] = over_resamples(resampled)
    tables = draw_results(metric.counts, classes, folder, reporter)
    return StageResult(results, str(checkpoint), {**overlay, **tables, **outcomes})


def rehearse(config: Config, classes: Sequence[str]) -> None:
    """Try the stage on one image of val, without training. Raises UserError if it fails."""
    with rehearsal(config) as (quick, folder, reporter):
        for key in ("decode_head", "auxiliary_head"):
            if quick.model.get(key):
                quick.model[key].channels = quick.encoder.width  # as a linear head must have
        quick.multiscale = quick.multiscale and quick.multiscale[:1]
        images = complete(quick, "random", classes)
        images["train"][0]
        tested = {name: data.first() for name, data in images.items() if name != "train"}
        finish(build(quick, SilentReporter()), tested, classes, quick, folder, reporter)


def tell_of_masks(config: Config, classes: Sequence[str], reporter: Reporter) -> None:
    """Say what is suspicious in the masks. Raises UserError as :func:`check_masks`."""
    if is_main_process():
        table, ignored = label_table(config, classes), config.get("ignored") or ()
        for note in check_masks(mask_splits(config), table, ignored, classes):
            reporter.note(note)


def complete(config: Config, encoder: str, classes: Sequence[str]) -> dict[str, PairedImages]:
    """Fill in what follows from the encoder and the data; the images to train and test with."""
    splits, model, image = mask_splits(config), config.model, config.image
    if image.crop is None:
        multiple = config.size_divisor
        image.crop = typical_size(image_sizes(splits["train"]), multiple, LARGEST)
        image.scale = (4 * image.crop, image.crop)
        model.test_cfg.crop_size = (image.crop, image.crop)
        model.test_cfg.stride = (2 * image.crop // 3,) * 2
    place_encoder(config, encoder)
    model.data_preprocessor.size = (image.crop, image.crop)
    heads = [model[key] for key in ("decode_head", "auxiliary_head") if model.get(key)]
    for head in heads:
        head.num_classes = len(classes)
    if config.get("background_weight"):
        weight = [config.background_weight] + [1.0] * (len(classes) - 1)
        model.decode_head.loss_decode.class_weight = weight
    if config.train_cfg.get("max_epochs", 0) is None:
        batch = config.train_dataloader.batch_size
        config.train_cfg.max_epochs = epochs_for(config.updates, len(splits["train"].pairs), batch)
    table, val = label_table(config, classes), splits["val"].pairs
    images = {
        "train": PairedImages(splits["train"].pairs, training_pipeline(table, **image)),
        "val": PairedImages(val, evaluation_pipeline(table, image.scale)),
    }
    if config.multiscale:
        scales = multiscale_pipeline(table, image.scale, config.multiscale)
        images["multiscale"] = PairedImages(val, scales)
    return images


def build(config: Config, reporter: Reporter) -> nn.Module:
    """The segmentor, its encoder's weights told."""
    model: nn.Module = MODELS.build(config.model)
    if not torch.cuda.is_available():
        model = revert_sync_batchnorm(model)  # which is for GPUs
    backbone: MAEViT = model.backbone
    reporter.note(backbone.origin)
    return model


def draw_results(counts: Counts, classes: Sequence[str], folder: Path, reporter: Reporter) -> Files:
    """A table by class, bars and a confusion matrix."""
    whole = counts.sum(axis=0, dtype=np.int64)
    by_class = dict(zip(classes, ious(whole).tolist(), strict=True))
    table = folder / "by_class.json"
    write_json(table, by_class, indent=2)
    matrix = partial(confusion_matrix, whole, classes, "pixels")
    return {
        "by_class": str(table),
        **drawn(folder / "iou_by_class.png", partial(class_bars, by_class, "IoU"), reporter),
        **drawn(folder / "confusion.png", matrix, reporter),
    }
