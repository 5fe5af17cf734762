"""The card of what looks into an encoder."""

from mae_core.card import MetricInfo, Stage
from mae_core.stage_keys import EVERY


def count(name: str) -> MetricInfo:
    """A metric of which more is not better."""
    shown = f"Features, {name.replace('_', ' ')}"
    return MetricInfo(name, shown, unit="a count", higher_is_better=None, headline=False)


CARDS = (
    Stage(
        name="analyze",
        help="Draw attention, patch features, class features and CKA between layers.",
        module="downstream.analysis.stage",
        needs=("maps",),
        section="What the encoder sees",
        metrics=(count("rankme"), count("effective_rank")),
        keys=(*EVERY, "reference", "val_data", "batch_size", "num_workers"),
        inside=("train_data", "pool"),  # of bases that probes have, too
        captions={
            "attention": "Where the class token of the last block looks, brighter is more; the "
            "mean of all heads, then each head",
            "patches-pca": "Patches that the encoder takes for alike have similar colours (three "
            "principal components of their features)",
            "tsne": "Val images, close together where their features are alike; the clearer the "
            "groups, the better the encoder tells classes apart (t-SNE)",
            "cka": "How alike the features of two encoders' blocks are, 0 to 1 (linear CKA)",
        },
    ),
)
