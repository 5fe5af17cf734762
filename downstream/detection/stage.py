"""The detection stage: train a detector on the encoder, evaluate it the COCO way."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mmdet.models  # noqa: F401  registers mmdet's models
import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from torch import nn

import downstream.dense.pyramid
import downstream.detection.cascade  # noqa: F401  both register
from downstream.dense.backbone import MAEViT, place_encoder
from downstream.dense.charts import class_bars, confusion_matrix, recall_curves
from downstream.dense.data import (
    Instances,
    epochs_for,
    instance_splits,
    is_learnt,
    notes_on,
    typical_size,
)
from downstream.dense.draws import DrawnImages
from downstream.dense.rehearsal import rehearsal
from downstream.dense.stored import to_store
from downstream.dense.testing import measure_images
from downstream.detection.evaluation import (
    KINDS,
    Evaluation,
    confusion,
    evaluate,
    load_annotations,
)
from downstream.detection.overlay import CONFIDENT, draw_dataset
from downstream.detection.pipeline import evaluation_pipeline, training_pipeline
from downstream.detection.precision import keep_boxes_exact
from downstream.outcomes import Resampled, save_outcomes
from downstream.scratch import recipe_for, weights_of
from downstream.statistics import over_resamples
from mae_core.checkpoints import save_weights
from mae_core.engine.train import build_runner, train, use_average
from mae_core.files import write_json
from mae_core.pixels import with_pixels
from mae_core.plots import drawn
from mae_core.stage import Metric, Reporter, SilentReporter, StageResult

FOUND = "detections"  # files of what was found in val
LARGEST = 1024  # pixels of a side, where the size follows from the data
PROPOSALS = 50  # of an image, in a rehearsal
Files = dict[str, str]


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Train on the train images; metrics `detect/{box,mask}_{AP,AP50,...}` on the val images.

    For 'random' and 'supervised' with the config's section `scratch`.
    """
    config, encoder = recipe_for(config, encoder), weights_of(encoder)
    config = with_pixels(config, encoder, reporter)
    set_random_seed(config.seed)
    init_default_scope(config.default_scope)
    splits = instance_splits(config)
    for note in notes_on(splits["train"]):
        reporter.note(note)
    work_dir.mkdir(parents=True, exist_ok=True)
    truth, val = complete(config, encoder, splits, work_dir)
    del splits  # gigabytes for COCO, in every process
    model = build(config, reporter)
    images = {"train_dataloader": training_images(config)}
    runner = build_runner(config, model, work_dir, reporter, images)
    train(runner)
    use_average(runner)
    result = finish(model, truth, val, config, work_dir, reporter)
    return replace(result, labels=len(images["train_dataloader"]))


def finish(
    model: nn.Module,
    truth: Path,
    val: CocoDataset,
    config: Config,
    folder: Path,
    reporter: Reporter,
) -> StageResult:
    """What follows the training: measure the model, keep it, draw.

    Args:
        model: trained.
        truth: annotations of `val`, a COCO JSON.
        val: images to test on.
        config: of the stage, complete.
        folder: for all files.
        reporter: gets progress, and notes of what could not be drawn.
    """
    classes = tuple(val.metainfo["classes"])
    found = CocoMetric(str(truth), format_only=True, outfile_prefix=str(folder / FOUND))
    measure_images(model, val, found, config.test_loader, reporter)
    if not is_main_process():
        return StageResult()
    checkpoint = folder / "detector.safetensors"
    save_weights(checkpoint, model, classes=classes, config=to_store(config))
    overlay = drawn(
        folder / "overlay.png", lambda path: draw_dataset(model, val, classes, path), reporter
    )
    metrics, artifacts = measure(truth, folder, classes, config, reporter)
    return StageResult(metrics, str(checkpoint), {**overlay, **artifacts})


def rehearse(config: Config, splits: dict[str, Instances]) -> None:
    """Try the stage on one image of val, without training. Raises UserError if it fails."""
    with rehearsal(config) as (quick, folder, reporter):
        few = {**splits, "val": first_annotated(splits["val"])}
        quick.model.test_cfg.rpn.max_per_img = PROPOSALS
        truth, val = complete(quick, "random", few, folder)
        training_images(quick)[0]
        finish(build(quick, SilentReporter()), truth, val, quick, folder, reporter)


def first_annotated(split: Instances) -> Instances:
    """The part of a split with the first image that has something to find."""
    first = next(entry["image_id"] for entry in split.content.annotations if is_learnt(entry))
    named = {image["file_name"] for image in split.content.images if image["id"] == first}
    return replace(split, content=split.content.only(named.__contains__))


def complete(
    config: Config, encoder: str, splits: dict[str, Instances], work_dir: Path
) -> tuple[Path, CocoDataset]:
    """Fill in what follows from the encoder and the data; val's annotations and images."""
    model, image = config.model, config.image
    place_encoder(config, encoder)
    classes = splits["train"].content.names
    for head in (*as_list(model.roi_head.bbox_head), *as_list(model.roi_head.mask_head)):
        head.num_classes = len(classes)
    model.test_cfg.rcnn.max_per_img = config.max_detections
    if image.size is None:
        multiple = model.data_preprocessor.pad_size_divisor
        image.size = typical_size(splits["train"].sizes, multiple, LARGEST)
    if config.get("square_pad"):
        model.data_preprocessor.pad_size_divisor = image.size  # no side is longer
    if config.train_cfg.max_epochs is None:
        images = len(splits["train"].content.images)
        batch = config.train_dataloader.batch_size
        config.train_cfg.max_epochs = epochs_for(config.updates, images, batch)
    files = {name: splits[name].on_disk(work_dir / f"annotations_{name}.json") for name in splits}
    pipelines = {"train": training_pipeline(**image), "val": evaluation_pipeline(image.size)}
    datasets = {
        name: {
            "type": "CocoDataset",
            "ann_file": str(files[name]),
            "data_prefix": {"img": f"{split.images}/"},
            "metainfo": {"classes": classes},
            "pipeline": pipelines[name],
        }
        for name, split in splits.items()
    }
    few = {"filter_cfg": {"filter_empty_gt": True}}
    config.train_dataloader.dataset = {**datasets["train"], **few}
    return files["val"], DATASETS.build({**datasets["val"], "test_mode": True})


def training_images(config: Config) -> DrawnImages:
    """The train images of a config that :func:`complete` has filled in."""
    return DrawnImages(DATASETS.build(config.train_dataloader.dataset))


def as_list(heads: Any) -> list[Any]:
    """The heads of a cascade, or the only one."""
    return list(heads) if isinstance(heads, list | tuple) else [heads]


def build(config: Config, reporter: Reporter) -> nn.Module:
    """The detector, its encoder's weights told."""
    model: nn.Module = MODELS.build(config.model)
    keep_boxes_exact(model)
    backbone: MAEViT = model.backbone
    reporter.note(backbone.origin)
    return model


def measure(
    truth: Path, work_dir: Path, classes: tuple[str, ...], config: Config, reporter: Reporter
) -> tuple[dict[str, Metric], Files]:
    """Metrics, and files with tables and figures, from the detections in `work_dir`."""
    annotations = load_annotations(truth)
    metrics: dict[str, Metric] = {}
    outcomes, tables, files = {}, {}, {}
    for kind, name in KINDS.items():
        detections = json.loads((work_dir / f"{FOUND}.{name}.json").read_text())
        found = evaluate(annotations, detections, kind, config.max_detections, config.seed)
        for key, value in found.resampled.items():
            values = np.concatenate([[found.metrics[key]], value])
            outcomes[f"detect/{kind}_{key}"] = Resampled(values)
        for key, number in found.metrics.items():
            if np.isfinite(number):
                metrics[f"detect/{kind}_{key}"] = Metric(number)
        tables[kind] = found.by_class
        files |= draw_results(found, kind, classes, work_dir, reporter)
        if kind == "mask":
            counts = confusion(annotations, detections, kind, CONFIDENT)
            files |= drawn(
                work_dir / "confusion.png",
                partial(confusion_matrix, counts, (*classes, "none"), "instances"),
                reporter,
            )
        files |= {f"detections_{kind}": str(work_dir / f"{FOUND}.{name}.json")}
    metrics |= {name: over_resamples(values) for name, values in outcomes.items()}
    by_class = work_dir / "by_class.json"
    write_json(by_class, tables, indent=2)
    return metrics, {**files, "by_class": str(by_class), **save_outcomes(work_dir, outcomes)}


def draw_results(
    found: Evaluation, kind: str, classes: tuple[str, ...], folder: Path, reporter: Reporter
) -> Files:
    """Bars by class and curves of boxes or masks."""
    title = f"Precision of {'boxes' if kind == 'box' else 'masks'} at an IoU of 0.5"
    curves = partial(recall_curves, found.precision, classes, title)
    files = drawn(folder / f"{kind}_precision_recall.png", curves, reporter)
    if len(classes) > 1:
        values = {name: entry["AP"] for name, entry in found.by_class.items()}
        bars = partial(class_bars, values, f"{kind} AP")
        files |= drawn(folder / f"{kind}_ap_by_class.png", bars, reporter)
    return files
