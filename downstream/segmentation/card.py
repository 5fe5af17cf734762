"""The card of semantic segmentation."""

from mae_core.card import CASES, MetricInfo, Stage
from mae_core.stage_keys import DENSE

NAME = "Semantic segmentation"

CARDS = (
    Stage(
        name="segment",
        help="Train and test semantic segmentation.",
        module="downstream.segmentation.stage",
        section=NAME,
        checks="downstream.segmentation.check",
        needs=("trained", "maps"),
        from_scratch=True,
        random_from_scratch=True,
        several_devices=True,
        predict="downstream.segmentation.predict",
        metrics=(
            MetricInfo("mIoU", f"{NAME}, mIoU"),
            MetricInfo("mIoU_multiscale", f"{NAME}, mIoU, multiscale", headline=False),
            MetricInfo("class_accuracy", f"{NAME}, class accuracy", headline=False),
            MetricInfo("pixel_accuracy", f"{NAME}, pixel accuracy", headline=False),
        ),
        captions={
            "overlay": "Semantic segmentation",
            "iou_by_class": "IoU by class",
            "confusion": "Pixels by true and found class",
        },
        cases=(*CASES, "seed"),  # resamples of the images are drawn
        keys=(
            *(*DENSE, "classes", "pixel_values", "ignored"),
            *("background_weight", "multiscale", "size_divisor"),
        ),
        inside=("norm",),
    ),
)
