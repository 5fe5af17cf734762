"""The detection stage: train a detector on the encoder, evaluate it the COCO way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mmdet.models  # noqa: F401  registers mmdet's models
import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.model import BaseModel

import downstream.detection.cascade  # noqa: F401  registers
from downstream.dense.charts import class_bars, confusion_matrix, recall_curves
from downstream.dense.data import typical_size
from downstream.dense.fit_recipe import round_up
from downstream.dense.fit_size import Sides
from downstream.dense.instances import Instances, instance_splits, is_learnt, notes_on
from downstream.dense.stored import ModelFile
from downstream.dense.task import DenseTask, Results, TaskImages, run_task, set_epochs
from downstream.dense.testing import measure_images
from downstream.detection.evaluation import (
    KINDS,
    Evaluation,
    confusion,
    evaluate,
    load_annotations,
)
from downstream.detection.overlay import CONFIDENT, caption, find, name_classes, show, truth
from downstream.detection.pipeline import evaluation_pipeline, plain_pipeline, training_pipeline
from downstream.detection.precision import keep_boxes_exact
from downstream.outcomes import Resampled, save_outcomes
from downstream.statistics import over_resamples
from mae_core.files import write_json
from mae_core.plots import drawn
from mae_core.stage import Metric, Reporter, StageResult

FOUND = "detections"  # files of what was found in val
LARGEST = 1024  # pixels of a side, where the size follows from the data
PROPOSALS = 50  # of an image, in a rehearsal
Files = dict[str, str]
Splits = Mapping[str, Instances]


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Train on the train images; metrics `detect/{box,mask}_{AP,AP50,...}` on the val images.

    Where annotations have boxes alone, those of boxes, of a detector without its mask head. For
    'random' and 'supervised' with the config's section `scratch`.
    """
    return run_task(TASK, config, encoder, work_dir, reporter)


def notes(config: Config, splits: Splits) -> list[str]:
    """What should be known of the train annotations."""
    return notes_on(splits["train"])


def complete(config: Config, splits: Splits, folder: Path) -> TaskImages:
    """Fill in what follows from the data, whose annotations go to the folder."""
    model, image = config.model, config.image
    classes, masks = splits["train"].content.names, splits["train"].content.has_masks
    if not masks:
        leave_out_masks(model)
    for head in (*as_list(model.roi_head.bbox_head), *as_list(model.roi_head.get("mask_head", []))):
        head.num_classes = len(classes)
    model.test_cfg.rcnn.max_per_img = config.max_detections
    if image.size is None:
        multiple = model.data_preprocessor.pad_size_divisor
        image.size = typical_size(splits["train"].sizes, multiple, LARGEST)
    if config.get("square_pad"):  # no side is longer
        multiple = model.data_preprocessor.get("pad_size_divisor", 1)
        model.data_preprocessor.pad_size_divisor = round_up(image.size, multiple)
    set_epochs(config, len(splits["train"].content.images))
    train = dataset_fields(splits["train"], folder / "annotations_train.json", classes)
    # As mmdet's own recipes do: images without instances are left out of the training.
    train |= {"pipeline": training_pipeline(**image, masks=masks)}
    train |= {"filter_cfg": {"filter_empty_gt": True}}
    val = dataset_fields(splits["val"], folder / "annotations_val.json", classes)
    val |= {"pipeline": evaluation_pipeline(image.size, masks), "test_mode": True}
    return TaskImages(DATASETS.build(train), DATASETS.build(val), classes)


def leave_out_masks(model: Any) -> None:
    """Make Faster R-CNN of a Mask R-CNN's config, or Cascade R-CNN of one with masks."""
    model.type = {"MaskRCNN": "FasterRCNN"}.get(model.type, model.type)
    model.data_preprocessor.pad_mask = False
    for key in ("mask_roi_extractor", "mask_head"):
        model.roi_head.pop(key, None)


def sides(config: Config) -> Sides:
    """Images are filled up to squares, or to multiples of the divisor."""
    divisor = config.model.data_preprocessor.get("pad_size_divisor", 1)
    largest = round_up(max(config.image.size, config.image.crop or 0), divisor)
    return Sides("image.size", largest, None if divisor == largest else divisor)


def dataset_fields(split: Instances, file: Path, classes: Sequence[str]) -> dict[str, Any]:
    """mmdet's description of a split, without pipeline; its annotations are written to `file`."""
    return {
        "type": "CocoDataset",
        "ann_file": str(split.on_disk(file)),
        "data_prefix": {"img": f"{split.images}/"},
        "metainfo": {"classes": classes},
    }


def as_list(heads: Any) -> list[Any]:
    """The heads of a cascade, or the only one."""
    return list(heads) if isinstance(heads, list | tuple) else [heads]


def shorten(config: Config, splits: Splits) -> Splits:
    """For a rehearsal: few proposals, and the first val image that has something to find."""
    config.model.test_cfg.rpn.max_per_img = PROPOSALS
    content = splits["val"].content
    first = next(entry["image_id"] for entry in content.annotations if is_learnt(entry))
    named = {image["file_name"] for image in content.images if image["id"] == first}
    return {**splits, "val": replace(splits["val"], content=content.only(named.__contains__))}


def adapt(model: BaseModel) -> BaseModel:
    """The detector, with boxes in float32."""
    keep_boxes_exact(model)
    return model


def test(
    model: BaseModel, images: TaskImages, config: Config, folder: Path, reporter: Reporter
) -> None:
    """Write what is found in val to files in the folder."""
    val: CocoDataset = images.val
    found = CocoMetric(val.ann_file, format_only=True, outfile_prefix=str(folder / FOUND))
    measure_images(model, val, found, config.test_loader, reporter)


def results(
    _: None, images: TaskImages, config: Config, folder: Path, reporter: Reporter
) -> Results:
    """Metrics, and files with tables and figures, from the detections in the folder."""
    classes = images.classes
    annotations = load_annotations(Path(images.val.ann_file))
    metrics: dict[str, Metric] = {}
    outcomes: dict[str, Resampled] = {}
    tables: dict[str, Any] = {}
    files: Files = {}
    kinds = KINDS if "mask_head" in config.model.roi_head else {"box": KINDS["box"]}
    for kind, name in kinds.items():
        detections = json.loads((folder / f"{FOUND}.{name}.json").read_text())
        found = evaluate(annotations, detections, kind, config.max_detections, config.seed)
        for key, value in found.resampled.items():
            values = np.concatenate([[found.metrics[key]], value])
            outcomes[f"detect/{kind}_{key}"] = Resampled(values)
        for key, number in found.metrics.items():
            if np.isfinite(number):
                metrics[f"detect/{kind}_{key}"] = Metric(number)
        tables[kind] = found.by_class
        files |= draw_results(found, kind, classes, folder, reporter)
        if kind == [*kinds][-1]:  # masks, where there are some
            counts = confusion(annotations, detections, kind, CONFIDENT)
            matrix = partial(confusion_matrix, counts, (*classes, "none"), "instances")
            files |= drawn(folder / "confusion.png", matrix, reporter)
        files[f"detections_{kind}"] = str(folder / f"{FOUND}.{name}.json")
    for name, outcome in outcomes.items():
        metrics[name] = over_resamples(outcome)
    by_class = folder / "by_class.json"
    write_json(by_class, tables, indent=2)
    return metrics, {**files, "by_class": str(by_class), **save_outcomes(folder, outcomes)}


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


TASK = DenseTask(
    file=ModelFile("detect", "mmdet", "detector.safetensors", size="size"),
    read=instance_splits,
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
    legend=name_classes,
    sides=sides,
    fixed_statistics=True,
    caption=caption,
)
