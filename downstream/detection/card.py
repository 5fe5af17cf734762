"""The card of detection and instance segmentation."""

from mae_core.card import CASES, MetricInfo, Stage
from mae_core.stage_keys import DENSE

KINDS = {"box": "Detection", "mask": "Instance segmentation"}


def precisions(kind: str, what: str) -> list[MetricInfo]:
    """COCO's average precisions of boxes or masks."""
    return [
        MetricInfo(f"{kind}_AP", f"{what}, {kind} AP"),
        MetricInfo(f"{kind}_AP50", f"{what}, {kind} AP50"),
        MetricInfo(f"{kind}_AP75", f"{what}, {kind} AP75", headline=False),
        MetricInfo(f"{kind}_AP_(small|medium|large)", rf"{what}, {kind} AP, \1", headline=False),
    ]


CARDS = (
    Stage(
        name="detect",
        help="Train and test detection and instance segmentation.",
        module="downstream.detection.stage",
        section="Detection and instance segmentation",
        checks="downstream.detection.check",
        needs=("trained", "maps"),
        from_scratch=True,
        random_from_scratch=True,
        several_devices=True,
        predict="downstream.detection.predict",
        metrics=tuple(info for kind, what in KINDS.items() for info in precisions(kind, what)),
        captions={
            "overlay": "Detection and instance segmentation",
            "box_precision_recall": "Precision against recall, boxes",
            "mask_precision_recall": "Precision against recall, masks",
            "box_ap_by_class": "Box AP by class",
            "mask_ap_by_class": "Mask AP by class",
            "confusion": "Instances by true and found class; 'none' was missed or is not there",
        },
        cases=(*CASES, "seed"),  # resamples of the images are drawn
        keys=(*DENSE, "max_detections", "square_pad"),
        inside=("channels", "norm", "deviations", "sampled", "everything", "proposals"),
    ),
)
