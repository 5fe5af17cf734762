"""What becomes of an image before the segmentor sees it, as mmseg's transforms."""

from collections.abc import Sequence
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmseg.registry import TRANSFORMS

import downstream.dense.loading  # noqa: F401  registers
from downstream.dense.label_map import LabelMap
from downstream.dense.mask_file import read_mask

Transform = dict[str, Any]


@TRANSFORMS.register_module()
class LoadMask(BaseTransform):
    """Read a mask and replace its values by labels.

    Args:
        labels: what the values mean.
    """

    def __init__(self, labels: LabelMap) -> None:
        self.table, self.coloured = labels.lookup(), labels.coloured

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add `gt_seg_map` (H, W) uint8, 255 where there is no class."""
        results["gt_seg_map"] = self.table[read_mask(results["seg_map_path"], self.coloured)]
        results["seg_fields"].append("gt_seg_map")
        return results


def training_pipeline(
    labels: LabelMap,
    scale: tuple[int, int],
    jitter: tuple[float, float] | None,
    crop: int,
    flip: float,
    photometric: bool,
) -> list[Transform]:
    """Scale, crop, mirror and change colours.

    Args:
        labels: see :class:`LoadMask`.
        scale: (longer, shorter) side at most, in pixels, ratio kept.
        jitter: range of a factor for the scale; None for none.
        crop: side of what is cut out, in pixels; smaller images are filled up.
        flip: probability of mirroring.
        photometric: whether brightness, contrast, saturation and hue change.
    """
    resize: Transform = {"type": "Resize", "scale": tuple(scale), "keep_ratio": True}
    if jitter is not None:
        resize |= {"type": "RandomResize", "ratio_range": tuple(jitter)}
    return [
        *_load(labels),
        resize,
        {"type": "RandomCrop", "crop_size": (crop, crop), "cat_max_ratio": 0.75},
        {"type": "RandomFlip", "prob": flip},
        *([{"type": "PhotoMetricDistortion"}] if photometric else []),
        {"type": "PackSegInputs"},
    ]


def evaluation_pipeline(labels: LabelMap, scale: tuple[int, int]) -> list[Transform]:
    """Scale only."""
    load, mask = _load(labels)
    resize = {"type": "Resize", "scale": tuple(scale), "keep_ratio": True}
    return [load, resize, mask, {"type": "PackSegInputs"}]


def plain_pipeline(config: Config) -> list[Transform]:
    """As :func:`evaluation_pipeline`, for images without masks; of a completed config."""
    steps = evaluation_pipeline(LabelMap(()), config.image.scale)
    return [step for step in steps if step["type"] != "LoadMask"]


def multiscale_pipeline(
    labels: LabelMap, scale: tuple[int, int], factors: Sequence[float]
) -> list[Transform]:
    """Every image at several scales, as it is and mirrored."""
    load, mask = _load(labels)
    sizes = [tuple(round(side * factor) for side in scale) for factor in factors]
    resizes = [{"type": "Resize", "scale": size, "keep_ratio": True} for size in sizes]
    flips = [{"type": "RandomFlip", "prob": chance} for chance in (0.0, 1.0)]
    steps = [resizes, flips, [mask], [{"type": "PackSegInputs"}]]
    return [load, {"type": "TestTimeAug", "transforms": steps}]


def _load(labels: LabelMap) -> list[Transform]:
    return [{"type": "LoadImage"}, {"type": "LoadMask", "labels": labels}]
