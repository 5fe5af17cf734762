"""The cards of what tests many sets of images: a suite, and a classifier's robustness."""

from mae_core.card import MetricInfo, Stage
from mae_core.stage_keys import EVERY

CARDS = (
    Stage(
        name="suite",
        help="Probe many data sets with 1000 labels each (VTAB's sets, our draw, frozen).",
        module="downstream.classification.suite",
        metrics=(
            MetricInfo("mean", "Suite of data sets, mean top-1"),
            MetricInfo(r"mean_(.+)", r"Suite, mean of \1", headline=False),
            MetricInfo(r"(.+)", r"Suite, \1", headline=False),
        ),
        keys=(*EVERY, "pool", "layer", "batch_size", "num_workers", "datasets", "examples"),
        inside=("train_data", "val_data"),  # each of `datasets` has its own
    ),
    Stage(
        name="evaluate",
        help="Test a fine-tuned classifier on other sets of images (ImageNet-A, -C, ...).",
        module="downstream.classification.evaluate",
        takes="classifier",
        random_from_scratch=True,  # as the classifier is
        metrics=(
            MetricInfo("mCE", "Corruptions, mCE (lower is better)", higher_is_better=False),
            MetricInfo(r"c_(.+)", r"Tested on corruption \1", headline=False),
            MetricInfo(r"(.+)", r"Tested on \1"),
        ),
        keys=(*EVERY, "sets", "transform", "batch_size", "num_workers"),
    ),
)
