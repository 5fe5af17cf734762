"""The cards of classification: trained whole, in part, or on frozen features."""

import re

from downstream.classification.few_labels import METHODS
from mae_core.card import OF_DATA, MetricInfo, Stage
from mae_core.stage_keys import CLASSIFIER, EVERY, FROZEN, TESTED, TRAINING

FEW = "Few images, few labels"  # section of the report
SETS = {  # of labels: what a name's number counts
    r"([\d.]+)pct": r"\1 % of them",
    r"([\d.]+)img": r"\1 image(s) a class",
    r"(.+)": r"\1",
}


def main_metrics(
    pattern: str, title: str, of_classes: str = "", headline: bool = True
) -> tuple[MetricInfo, ...]:
    """Top-1 of classes, and what is in its place where images have labels or a number."""
    return (
        MetricInfo(pattern, f"{title}{of_classes}", headline=headline),
        MetricInfo(f"{pattern}_map", f"{title}, mAP", headline=headline),
        MetricInfo(f"{pattern}_r2", f"{title}, R²", "at most 1", headline=headline, digits=3),
    )


FEW_LABELS = tuple(
    info
    for pattern, shown in SETS.items()
    for method, name in METHODS.items()
    for info in main_metrics(f"{pattern}_{method}", f"Few labels, {shown}, {name}")
)


def further(title: str) -> tuple[MetricInfo, ...]:
    """What a config may ask for beside top-1, see `downstream/classification/metrics.py`."""
    kappa = MetricInfo("quadratic_kappa", f"{title}, quadratic kappa", unit="-1 to 1", digits=3)
    error = MetricInfo("ece", f"{title}, calibration error", higher_is_better=False, headline=False)
    return (
        MetricInfo("balanced_accuracy", f"{title}, balanced accuracy"),
        MetricInfo("macro_f1", f"{title}, macro F1"),
        MetricInfo("auroc", f"{title}, AUROC"),
        MetricInfo("average_precision", f"{title}, average precision"),
        kappa,
        error,
    )


def of_targets(title: str) -> tuple[MetricInfo, ...]:
    """Of images with several labels, or a number: those that :func:`further` does not have.

    See `downstream/classification/label_metrics.py` and `number_metrics.py`.
    """
    errors = (("mae", "mean absolute error"), ("rmse", "root mean squared error"))
    return (
        MetricInfo("map", f"{title}, mean average precision"),
        MetricInfo("exact_match", f"{title}, all labels right"),
        MetricInfo("r2", f"{title}, R²", unit="at most 1", digits=3),
        MetricInfo("spearman", f"{title}, Spearman's correlation", unit="-1 to 1", digits=3),
        *(MetricInfo(name, f"{title}, {said}", OF_DATA, False) for name, said in errors),
    )


def amount(name: str) -> str:
    """'1pct' -> '1 % of them', '2img' -> '2 image(s) a class'; other names stay."""
    found = (re.fullmatch(pattern, name) for pattern in SETS)
    return next(m.expand(SETS[m.re.pattern]) for m in found if m)


CARDS = (
    Stage(
        name="supervise",
        help="Train an encoder from scratch on all labels: the row 'supervised'.",
        module="downstream.classification.finetune",
        takes="nothing",
        makes="encoder",
        several_devices=True,
        metrics=(
            MetricInfo("top1", "Training from scratch, top-1", headline=False),
            *further("Training from scratch"),
            *of_targets("Training from scratch"),
        ),
        keys=(*CLASSIFIER, "metrics"),
    ),
    Stage(
        name="finetune",
        help="Fine-tune the encoder on labels.",
        module="downstream.classification.finetune",
        task="fine-tune",
        makes="classifier",
        needs=("trained",),
        from_scratch=True,
        random_from_scratch=True,
        several_devices=True,
        metrics=(
            MetricInfo("top1", "Fine-tuning, top-1"),
            *further("Fine-tuning"),
            *of_targets("Fine-tuning"),
        ),
        keys=(*CLASSIFIER, "metrics"),
    ),
    Stage(
        name="partial-finetune",
        help="Fine-tune only the last 0, 1/2, 1, 2, 4, ... blocks.",
        module="downstream.classification.partial",
        section=FEW,
        needs=("trained",),
        from_scratch=True,
        metrics=main_metrics(
            r"([\d.]+)blocks", r"Fine-tuning of the last \1 blocks", ", top-1", headline=False
        ),
        captions={"curve": "Accuracy against fine-tuned blocks"},
        keys=(*CLASSIFIER, "blocks"),
    ),
    Stage(
        name="low-shot",
        help="Probe and fine-tune on few labels, over several splits.",
        module="downstream.classification.low_shot",
        section=FEW,
        needs=("trained",),
        frozen_with={"methods": ["probe"]},
        from_scratch=True,
        metrics=FEW_LABELS,
        captions={"curve": "Accuracy against labelled images"},
        keys=(*CLASSIFIER, *FROZEN, "sets", "methods"),
    ),
    Stage(
        name="linear-probe",
        help="Train a linear classifier on the frozen encoder.",
        module="downstream.classification.linear_probe",
        whole_batch=True,  # it normalises over the batch
        metrics=(
            MetricInfo("top1", "Linear probe, top-1"),
            *further("Linear probe"),
            *of_targets("Linear probe"),
        ),
        keys=(
            *(*EVERY, *TRAINING, *TESTED, *FROZEN),
            *("rates", "decays", "held_out", "metrics", "decides"),
        ),
    ),
    Stage(
        name="knn",
        help="Classify by the nearest neighbours of frozen features.",
        module="downstream.classification.knn",
        metrics=(
            MetricInfo("top1", "kNN, top-1"),
            *further("kNN"),
            *of_targets("kNN"),
            MetricInfo(r"top1_k(\d+)", r"kNN, top-1, k = \1", headline=False),
            MetricInfo(r"map_k(\d+)", r"kNN, mAP, k = \1", headline=False),
            MetricInfo(r"r2_k(\d+)", r"kNN, R², k = \1", "at most 1", headline=False, digits=3),
        ),
        keys=(
            *(*EVERY, *FROZEN),
            *("k", "more_k", "temperature", "standardize", "held_out", "metrics", "decides"),
        ),
    ),
)
