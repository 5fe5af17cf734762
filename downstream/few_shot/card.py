"""The card of few-shot classification."""

from mae_core.card import CASES, MetricInfo, Stage
from mae_core.stage_keys import EVERY, FROZEN

SHOWN = r"Few-shot, \1-way \2-shot"

CARDS = (
    Stage(
        name="few-shot",
        help="Classify in N-way K-shot episodes on frozen features.",
        module="downstream.few_shot.stage",
        section="Few images, few labels",
        cached_features=True,
        metrics=(
            MetricInfo(r"(\d+)way(\d+)shot", SHOWN),
            MetricInfo(r"(\d+)way(\d+)shot_(\w+)", rf"{SHOWN}, \3", headline=False),
        ),
        cases=(*CASES, "seed", "episodes", "queries", "novel_classes"),  # episodes are drawn
        keys=(
            *(*EVERY, *FROZEN, "settings", "episodes", "queries", "heads"),
            *("novel_classes", "standardize", "held_out"),
        ),
    ),
)
