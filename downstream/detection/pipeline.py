"""What becomes of an image before the detector sees it, as mmdet's transforms."""

from typing import Any

from mmengine.config import Config

import downstream.dense.loading  # noqa: F401  registers

Transform = dict[str, Any]


def training_pipeline(
    size: int,
    jitter: tuple[float, float] | None,
    crop: int | None,
    flip: float,
    masks: bool = True,
) -> list[Transform]:
    """Scale, crop and mirror.

    Args:
        size: pixels of the longer side.
        jitter: large-scale jitter (Ghiasi et al. 2021, arXiv 2012.07177): the image is scaled by a
            draw from this range, and cropped; None for neither.
        crop: pixels of the crop's sides; None for `size`.
        flip: probability of mirroring.
        masks: whether the annotations have some.
    """
    crop = crop or size
    scale: list[Transform] = [{"type": "Resize", "scale": (size, size), "keep_ratio": True}]
    if jitter is not None:
        scale = [
            {"type": "RandomResize", "scale": (size, size), "ratio_range": tuple(jitter)}
            | {"keep_ratio": True},
            {"type": "RandomCrop", "crop_type": "absolute", "crop_size": (crop, crop)}
            | {"recompute_bbox": True, "allow_negative_crop": True},
            {"type": "FilterAnnotations", "min_gt_bbox_wh": (1e-2, 1e-2), "by_mask": masks}
            | {"keep_empty": False},  # which in mmdet means that crops without objects stay
        ]
    mirror = {"type": "RandomFlip", "prob": flip}
    return [*_load(masks), *scale, mirror, {"type": "PackDetInputs"}]


def evaluation_pipeline(size: int, masks: bool = True) -> list[Transform]:
    """Scale the longer side to `size` pixels; whether annotations have `masks`."""
    load, annotations = _load(masks)
    scale = {"type": "Resize", "scale": (size, size), "keep_ratio": True}
    return [load, scale, annotations, {"type": "PackDetInputs"}]


def plain_pipeline(config: Config) -> list[Transform]:
    """As :func:`evaluation_pipeline`, for images without annotations; of a completed config."""
    steps = evaluation_pipeline(config.image.size)
    return [step for step in steps if step["type"] != "LoadAnnotations"]


def _load(masks: bool) -> list[Transform]:
    return [
        {"type": "LoadImage"},
        {"type": "LoadAnnotations", "with_bbox": True, "with_mask": masks},
    ]
