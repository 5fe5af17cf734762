"""Average precision the COCO way, by class and size, and how sure it is.

Matching and accumulation are faster-coco-eval's. The 95 % intervals resample images.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faster_coco_eval.faster_eval_api_cpp as accumulation
import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from downstream.dense.coco import read_coco
from downstream.statistics import RESAMPLES_OF_IMAGES, resamples

Values = NDArray[np.float64]
KINDS = {"box": "bbox", "mask": "segm"}  # our names and COCO's
SIZES = ("all", "small", "medium", "large")  # small is below 32² pixels, large above 96²
IOU50, IOU75 = 0, 5  # places among the thresholds 0.5, 0.55, ..., 0.95
RECALLS = 101  # at which COCO looks at the precision: 0, 0.01, ..., 1
Detection = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """Average precisions of boxes or masks, 0 to 1; nan where nothing is annotated.

    Attributes:
        metrics: by name, AP (mean over thresholds 0.5 to 0.95), AP50, AP75, AP_small, ...
        by_class: AP and AP50 of each class.
        precision: (classes, 101), at a threshold of 0.5 and recalls of 0 to 1.
        resampled: AP and AP50 of each resample of the images.
    """

    metrics: dict[str, float]
    by_class: dict[str, dict[str, float]]
    precision: Values
    resampled: dict[str, Values]


def evaluate(
    annotations: COCO, detections: Sequence[Detection], kind: str, most: int, seed: int
) -> Evaluation:
    """Compare detections with annotations.

    Args:
        annotations: the truth.
        detections: entries of COCO's results format.
        kind: 'box' or 'mask'.
        most: detections of an image that count, those of the highest scores; 100 in COCO.
        seed: of the resampling.
    """
    names = [category["name"] for category in annotations.dataset["categories"]]
    if not detections:
        return _nothing_found(annotations, names)
    found = _results(annotations, detections, kind)
    evaluator = _evaluator(annotations, found, kind, most, separate_eval=True)
    evaluator.evaluate()
    params, matches = evaluator._paramsEval, evaluator._evalImgs_cpp  # by class, size, image
    precision = _precision(params, matches)
    every = precision[:, :, :, 0]
    metrics = {"AP": _mean(every), "AP50": _mean(every[IOU50]), "AP75": _mean(every[IOU75])}
    for i, size in enumerate(SIZES[1:], start=1):
        metrics[f"AP_{size}"] = _mean(precision[:, :, :, i])
    by_class = {}
    for i, name in enumerate(names):
        by_class[name] = {"AP": _mean(every[:, :, i]), "AP50": _mean(every[IOU50, :, i])}
    curves = np.where(every[IOU50] < 0, np.nan, every[IOU50]).squeeze(-1).T
    return Evaluation(metrics, by_class, curves, _resampled(params, matches, seed))


def _nothing_found(annotations: COCO, names: Sequence[str]) -> Evaluation:
    there = {entry["category_id"] for entry in annotations.dataset["annotations"]}
    curves = np.zeros((len(names), RECALLS))
    by_class = {}
    for i, category in enumerate(annotations.dataset["categories"]):
        value = 0.0 if category["id"] in there else float("nan")
        by_class[names[i]] = {"AP": value, "AP50": value}
        curves[i] = value
    none = np.zeros(RESAMPLES_OF_IMAGES)
    metrics = {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}
    return Evaluation(metrics, by_class, curves, {"AP": none, "AP50": none})


def _results(annotations: COCO, detections: Sequence[Detection], kind: str) -> COCO:
    """Detections as faster-coco-eval keeps them; those of masks have the masks' areas."""
    drop = "bbox" if kind == "mask" else "segmentation"
    entries = []
    for detection in detections:
        entry = dict(detection)
        entry.pop(drop, None)
        entries.append(entry)
    return annotations.loadRes(entries)


def _evaluator(annotations: COCO, found: COCO, kind: str, most: int, **options: Any) -> Any:
    evaluator = COCOeval_faster(annotations, found, KINDS[kind], **options)
    evaluator.params.maxDets = [most]
    return evaluator


def _resampled(params: Any, matches: Sequence[Any], seed: int) -> dict[str, Values]:
    """AP and AP50 of each resample, from the matches of single images at any size."""
    images, sizes = len(params.imgIds), len(params.areaRng)
    params = copy.deepcopy(params)
    params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
    # Matches lie by class, then size, then image; of the sizes the first is all.
    begins = range(0, len(matches), images * sizes)
    mean, at_50 = [], []
    for drawn in resamples(images, seed):
        of_drawn = []
        for begin in begins:
            of_drawn += [matches[begin + image] for image in drawn]
        precision = _precision(params, of_drawn)
        mean.append(_mean(precision))
        at_50.append(_mean(precision[IOU50]))
    return {"AP": np.array(mean), "AP50": np.array(at_50)}


def _precision(params: Any, matches: Sequence[Any]) -> Values:
    """(thresholds, recalls, classes, sizes, 1), -1 where nothing is annotated."""
    return np.asarray(accumulation.COCOevalAccumulate(params, matches)["precision"])


def confusion(
    annotations: COCO, detections: Sequence[Detection], kind: str, score: float
) -> NDArray[np.int64]:
    """(classes + 1, classes + 1) counts: true class down, found class across, the last is none.

    Detections above `score` are matched at an intersection over union of 0.5, whatever their class.
    """
    keys = [category["id"] for category in annotations.dataset["categories"]]
    label = {key: i for i, key in enumerate(keys)}
    counts = np.zeros((len(keys) + 1, len(keys) + 1), dtype=np.int64)
    sure = [d for d in detections if d["score"] > score]
    matched: dict[int, int] = {}
    if sure:
        found = _results(annotations, sure, kind)
        evaluator = _evaluator(annotations, found, kind, len(sure), extra_calc=True)
        evaluator.params.useCats = 0
        evaluator.params.iouThrs = np.array([0.5])
        evaluator.evaluate()
        evaluator.accumulate()
        for entry in found.dataset["annotations"]:
            truth = entry.get("gt_id")
            row = -1 if truth is None else label[annotations.anns[truth]["category_id"]]
            counts[row, label[entry["category_id"]]] += 1
            if truth is not None:
                matched[truth] = entry["id"]
    for entry in annotations.dataset["annotations"]:
        if entry["id"] not in matched and not entry.get("iscrowd"):
            counts[label[entry["category_id"]], -1] += 1
    return counts


def _mean(precision: Any) -> float:
    """Mean over what is annotated; the rest is -1."""
    values = np.asarray(precision)
    there = values[values > -1]
    return float(there.mean()) if there.size else float("nan")


def load_annotations(path: Path) -> COCO:
    """A COCO file as faster-coco-eval keeps it, normalised.

    Raises:
        UserError: as :func:`read_coco`.
    """
    return COCO(read_coco(path).as_json())
