"""Find instances in any images with a trained detector."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmdet.models  # noqa: F401  registers mmdet's models
import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from pycocotools.mask import encode

import downstream.dense.backbone
import downstream.dense.pyramid
import downstream.detection.cascade  # noqa: F401  all three register
from downstream.dense.stored import blaming
from downstream.dense.trained import check_images, load_trained, own_names
from downstream.detection.overlay import CONFIDENT, find, name_classes, show
from downstream.detection.pipeline import evaluation_pipeline
from downstream.overlay import figure_grid, read_image, save

FILE = "predictions.json"


@torch.inference_mode()
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
    check_images(images)
    model, config, classes = load_trained(checkpoint, "detect")
    steps = evaluation_pipeline(config.image.size)
    pipeline = Compose([TRANSFORMS.build(s) for s in steps if s["type"] != "LoadAnnotations"])
    out.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = []
    instances: list[dict[str, Any]] = []
    files = []
    for number, (path, name) in enumerate(zip(images, own_names(images), strict=True), start=1):
        image = read_image(path)
        with blaming(checkpoint):
            found = find(model, pipeline({"img_path": str(path), "img_id": number}))
        size = {"height": image.shape[0], "width": image.shape[1]}
        entries.append({"id": number, "file_name": str(path), **size})
        instances += as_annotations(found, number, len(instances))
        files.append(draw(image, found, classes, out / f"{name}.png"))
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
    content = {"images": entries, "annotations": instances, "categories": categories}
    (out / FILE).write_text(json.dumps(content))
    return [*files, out / FILE]


def as_annotations(found: Any, image: int, before: int) -> list[dict[str, Any]]:
    """Instances of one image in COCO's format, their ids counted from `before` + 1."""
    entries = []
    for number, one in enumerate(
        zip(found.bboxes, found.labels, found.scores, found.masks, strict=True)
    ):
        (left, top, right, bottom), label, score, mask = one[0].tolist(), *one[1:]
        area = np.asarray(mask, dtype=np.uint8)
        runs = encode(np.asfortranarray(area))
        entries.append(
            {
                "id": before + number + 1,
                "image_id": image,
                "category_id": int(label) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": int(area.sum()),
                "iscrowd": 0,
                "score": float(score),
                "segmentation": {"size": runs["size"], "counts": runs["counts"].decode()},
            }
        )
    return entries


def draw(image: np.ndarray, found: Any, classes: Sequence[str], path: Path) -> Path:
    """One picture with its instances."""
    figure, axes = figure_grid([""], 1, cell=6)
    show(axes[0, 0], image, found, classes)
    axes[0, 0].set_xlabel(f"{len(found)} found with a score above {CONFIDENT}")
    name_classes(figure, classes, set(found.labels.tolist()))
    save(figure, path)
    return path
