"""Find instances in any images with a trained detector."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.mask import encode

from downstream.dense.task import predictions
from downstream.detection.stage import TASK
from mae_core.files import write_json

FILE = "predictions.json"


def predict(checkpoint: Path, images: Sequence[Path], out: Path) -> list[Path]:
    """Write a picture of each image's instances, and all of them as COCO JSON; the files.

    Args:
        checkpoint: a `detector.safetensors`.
        images: files.
        out: folder for `<name>.png` and `predictions.json`, in which the annotations have a
            `score`.

    Raises:
        UserError: if the checkpoint is no detector's, or an image is missing or cannot be read.
    """
    entries: list[dict[str, Any]] = []
    instances: list[dict[str, Any]] = []
    categories: list[dict[str, Any]] = []
    files = []
    for number, one in enumerate(predictions(TASK, checkpoint, images, out), start=1):
        height, width = one.size
        entries.append({"id": number, "file_name": str(one.path), "height": height, "width": width})
        instances += as_annotations(one.found, number, len(instances))
        categories = [{"id": i, "name": name} for i, name in enumerate(one.classes, start=1)]
        files.append(one.picture)
    content = {"images": entries, "annotations": instances, "categories": categories}
    write_json(out / FILE, content)
    return [*files, out / FILE]


def as_annotations(found: Any, image: int, before: int) -> list[dict[str, Any]]:
    """Instances of one image in COCO's format, their ids counted from `before` + 1."""
    entries = []
    for number, one in enumerate(zip(found.bboxes, found.labels, found.scores, strict=True)):
        (left, top, right, bottom), label, score = one[0].tolist(), *one[1:]
        entry = {
            "id": before + number + 1,
            "image_id": image,
            "category_id": int(label) + 1,
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "iscrowd": 0,
            "score": float(score),
        }
        if "masks" in found:
            mask = np.asarray(found.masks[number], dtype=np.uint8)
            runs = encode(np.asfortranarray(mask))
            entry["area"] = int(mask.sum())
            entry["segmentation"] = {"size": runs["size"], "counts": runs["counts"].decode()}
        entries.append(entry)
    return entries
