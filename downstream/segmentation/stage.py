"""The segmentation stage: train a segmentor on the encoder, evaluate intersection over union."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import mmseg.models  # noqa: F401  registers
import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmseg.models import SegTTAModel

from downstream.dense.charts import class_bars, confusion_matrix
from downstream.dense.data import Masks, image_sizes, typical_size
from downstream.dense.fit_size import Sides
from downstream.dense.label_map import label_map
from downstream.dense.masks import check_masks
from downstream.dense.stored import ModelFile
from downstream.dense.task import DenseTask, Results, TaskImages, run_task, set_epochs
from downstream.dense.testing import measure_images
from downstream.outcomes import save_outcomes
from downstream.segmentation.check import Semantic, read_semantic
from downstream.segmentation.metric import Confusion, Counts, ious, resampled_miou
from downstream.segmentation.overlay import find, name_colours, show, truth
from downstream.segmentation.pairs import PairedImages
from downstream.segmentation.pipeline import (
    evaluation_pipeline,
    multiscale_pipeline,
    plain_pipeline,
    training_pipeline,
)
from downstream.statistics import over_resamples
from mae_core.files import write_json
from mae_core.plots import drawn
from mae_core.stage import Metric, Reporter, StageResult

LARGEST = 512  # pixels of a crop's side, where the size follows from the data
HEADS = ("decode_head", "auxiliary_head")
NARROW = 16  # channels of a head in a rehearsal
Files = dict[str, str]


class Outcome(NamedTuple):
    """What a test found.

    Attributes:
        metrics: by name, without the task's.
        counts: (images, C, C) pixels by true and found class.
    """

    metrics: dict[str, float]
    counts: Counts


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Train on the train images; metrics `segment/{mIoU,...}` on the val images.

    The mean is over all classes that occur, background included. With `config.multiscale` also
    `segment/mIoU_multiscale`, over several scales and mirrored images. For 'random' and
    'supervised' with the config's section `scratch`.
    """
    return run_task(TASK, config, encoder, work_dir, reporter)


def notes(config: Config, data: Semantic) -> list[str]:
    """What is suspicious in the masks. Raises UserError as :func:`check_masks`."""
    return check_masks(data.splits, label_map(config, data.classes), data.classes)


def complete(config: Config, data: Semantic, folder: Path) -> TaskImages:
    """Fill in what follows from the data."""
    splits, model, image = data.splits, config.model, config.image
    if image.crop is None:
        multiple = config.size_divisor
        image.crop = typical_size(image_sizes(splits["train"]), multiple, LARGEST)
        image.scale = (4 * image.crop, image.crop)
        model.test_cfg.crop_size = (image.crop, image.crop)
        model.test_cfg.stride = (2 * image.crop // 3,) * 2
    model.data_preprocessor.size = (image.crop, image.crop)
    if model.backbone.type == "EncoderMaps":  # which sees whole windows, also of small images
        model.data_preprocessor.test_cfg = {"size": (image.crop, image.crop)}
    for key in HEADS:
        if model.get(key):
            model[key].num_classes = len(data.classes)
    if config.get("background_weight"):
        weight = [config.background_weight] + [1.0] * (len(data.classes) - 1)
        model.decode_head.loss_decode.class_weight = weight
    set_epochs(config, len(splits["train"].pairs))
    labels = label_map(config, data.classes)
    train = PairedImages(splits["train"].pairs, training_pipeline(labels, **image))
    val = PairedImages(splits["val"].pairs, evaluation_pipeline(labels, image.scale))
    return TaskImages(train, val, data.classes)


def sides(config: Config) -> Sides:
    """Crops in the training, windows of the same size in tests."""
    return Sides("image.crop", config.image.crop, None)


def shorten(config: Config, data: Semantic) -> Semantic:
    """For a rehearsal: narrow heads, one scale, and the first val image."""
    for key in HEADS:
        if config.model.get(key):
            config.model[key].channels = NARROW
    config.multiscale = config.multiscale and config.multiscale[:1]
    few = Masks(data.splits["val"].pairs[:1])
    return data._replace(splits={**data.splits, "val": few})


def adapt(model: BaseModel) -> BaseModel:
    """The segmentor, on a CPU without the batch norm that several GPUs share."""
    if not torch.cuda.is_available():
        model = revert_sync_batchnorm(model)
    return model


def test(
    model: BaseModel, images: TaskImages, config: Config, folder: Path, reporter: Reporter
) -> Outcome:
    """Test at one scale, and with `config.multiscale` at several."""
    metric, val = Confusion(len(images.classes)), images.val
    metrics = measure_images(model, val, metric, config.test_loader, reporter)
    if config.multiscale:
        labels = label_map(config, images.classes)
        steps = multiscale_pipeline(labels, config.image.scale, config.multiscale)
        scaled, singly = PairedImages(val.pairs, steps), {**config.test_loader, "batch_size": 1}
        averaged, again = SegTTAModel(module=model), Confusion(len(images.classes))
        found = measure_images(averaged, scaled, again, singly, reporter)
        metrics["mIoU_multiscale"] = found["mIoU"]
    return Outcome(metrics, metric.counts)


def results(
    outcome: Outcome, images: TaskImages, config: Config, folder: Path, reporter: Reporter
) -> Results:
    """Metrics, the mIoU with an interval, and files with tables and figures."""
    resampled = resampled_miou(outcome.counts, config.seed)
    metrics = {f"segment/{name}": Metric(value) for name, value in outcome.metrics.items()}
    metrics["segment/mIoU"] = over_resamples(resampled)
    files = draw_results(outcome.counts, images.classes, folder, reporter)
    return metrics, {**files, **save_outcomes(folder, {"segment/mIoU": resampled})}


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


TASK = DenseTask(
    file=ModelFile("segment", "mmseg", "segmentor.safetensors", size="scale"),
    read=read_semantic,
    notes=notes,
    complete=complete,
    shorten=shorten,
    adapt=adapt,
    test=test,
    results=results,
    steps=plain_pipeline,
    find=find,
    truth=truth,
    show=show,
    legend=name_colours,
    sides=sides,
    plain_row=True,
)
