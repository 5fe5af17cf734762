"""The card of image retrieval."""

from mae_core.card import CASES, MetricInfo, Stage
from mae_core.stage_keys import EVERY, FROZEN

CARDS = (
    Stage(
        name="retrieval",
        help="Search images of the same class by frozen features.",
        module="downstream.retrieval.stage",
        metrics=(
            MetricInfo("map", "Retrieval, mAP"),
            MetricInfo("recall_at_1", "Retrieval, recall at 1"),
            MetricInfo(r"recall_at_(\d+)", r"Retrieval, recall at \1", headline=False),
            MetricInfo("map_at_r", "Retrieval, mAP at R", headline=False),
        ),
        cases=(*CASES, "gallery"),
        keys=(*EVERY, *FROZEN, "gallery", "ks", "standardize", "held_out"),
    ),
)
