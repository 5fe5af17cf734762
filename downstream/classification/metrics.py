"""What classifiers are judged by beside top-1: `metrics=[...]` in a stage's config.

Each is that of scikit-learn, on all test images and on resamples of them, for an interval and for
comparisons in pairs. What depends on the order of scores is computed here, as sorting anew for each
resample would take most of the time; tests compare every value with scikit-learn's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from downstream.classification.answers import CLASS, LABELS, MAIN, NUMBER
from downstream.classification.label_metrics import LABEL_METRICS
from downstream.classification.number_metrics import LOWER_IS_BETTER, NUMBER_METRICS
from downstream.classification.ranking import (
    Numbers,
    OfWeights,
    Ranked,
    Values,
    area,
    mean_over,
    precision,
)
from downstream.clusters import groups_in
from downstream.outcomes import Grouped, Resampled, in_groups
from downstream.statistics import (
    LEVEL,
    normal_quantile,
    over_resamples,
    resamples,
    share,
    t_quantile,
)
from mae_core.data.sources.base import Groups
from mae_core.errors import UserError, suggest
from mae_core.stage import Metric

TOP1 = "top1"
BINS = 15  # of the calibration error, as Guo et al. have


class Scored(NamedTuple):
    """What a classifier says of N images.

    Attributes:
        scores: (N, C) float, the highest of the class that is answered; or a score for each label,
            or the number, in its unit.
        labels: (N,) int64, the true classes; or (N, C) float, 1 for each true label, or the number.
        are_votes: whether shares of them are probabilities; else they are logits.
        kind: of the answers, one of :data:`MAIN`.
        unit: of a number, '' where it is not known.
    """

    scores: torch.Tensor
    labels: torch.Tensor
    are_votes: bool = False
    kind: str = CLASS
    unit: str = ""

    @property
    def correct(self) -> torch.Tensor:
        """(N,) bool: where the highest score is that of the true class."""
        return self.scores.argmax(dim=1) == self.labels

    def value(self, name: str) -> OfWeights:
        """A metric of those that the kind has in :data:`METRICS_OF`."""
        scores, of_kind = self.scores.double(), METRICS_OF[self.kind]
        if self.kind != CLASS:
            if self.kind == LABELS and not self.are_votes:
                scores = scores.sigmoid()
            return of_kind[name](scores.numpy(), self.labels.double().numpy())
        shares = F.normalize(scores, p=1) if self.are_votes else scores.softmax(dim=1)
        return of_kind[name](shares.numpy(), self.labels.numpy())


def balanced_accuracy(shares: Values, labels: Numbers) -> OfWeights:
    """Mean over the classes of the share of their images that is right."""
    counted = _confusion(shares, labels)

    def value(times: Values) -> float:
        counts = counted(times)
        size = counts.sum(axis=1)
        there = size > 0
        return float((np.diagonal(counts)[there] / size[there]).mean())

    return value


def macro_f1(shares: Values, labels: Numbers) -> OfWeights:
    """Mean of the classes' harmonic means of precision and recall, of classes that occur."""
    counted = _confusion(shares, labels)

    def value(times: Values) -> float:
        counts = counted(times)
        both = counts.sum(axis=0) + counts.sum(axis=1)
        there = both > 0
        return float((2 * np.diagonal(counts)[there] / both[there]).mean())

    return value


def quadratic_kappa(shares: Values, labels: Numbers) -> OfWeights:
    """Agreement beyond chance of classes in order, -1 to 1 (Cohen 1968, with squared distances)."""
    counted, order = _confusion(shares, labels), np.arange(shares.shape[1])
    distance = (order[:, None] - order) ** 2

    def value(times: Values) -> float:
        counts = counted(times)
        by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
        expected = float((distance * by_chance).sum())
        return 1 - float((distance * counts).sum()) / expected if expected else np.nan

    return value


def auroc(shares: Values, labels: Numbers) -> OfWeights:
    """Area under the ROC curve; of more than two classes the mean of each against the rest."""
    return _mean_of_classes(area, shares, labels)


def average_precision(shares: Values, labels: Numbers) -> OfWeights:
    """Mean precision at the images of a class; of more than two classes the mean of theirs."""
    return _mean_of_classes(precision, shares, labels)


def ece(shares: Values, labels: Numbers) -> OfWeights:
    """Expected calibration error: how far confidence and accuracy are apart, by confidence.

    In 15 bins of equal width (Guo et al. 2017, arXiv 1706.04599, 2 and 5).
    """
    sure = shares.max(axis=1)
    bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    apart = sure - (shares.argmax(axis=1) == labels)

    def value(times: Values) -> float:
        return float(np.abs(np.bincount(bins, times * apart)).sum() / times.sum())

    return value


METRICS: dict[str, Callable[[Values, Numbers], OfWeights]] = {
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "auroc": auroc,
    "average_precision": average_precision,
    "quadratic_kappa": quadratic_kappa,
    "ece": ece,
}
METRICS_OF: dict[str, dict[str, Callable[[Any, Any], OfWeights]]] = {
    CLASS: METRICS,
    LABELS: LABEL_METRICS,
    NUMBER: NUMBER_METRICS,
}
# The least error is best; and a classifier that knows nothing, and says so, is well calibrated.
NO_CHOICE = ("ece", *LOWER_IS_BETTER)


def measured(
    task: str, found: Scored, config: Mapping[str, Any], groups: Groups | None = None
) -> tuple[dict[str, Metric], dict[str, Any]]:
    """Top-1 and the metrics of a config, and the outcomes that rows are compared by.

    Of several labels mean average precision, of a number R² is in the place of top-1.

    Args:
        task: that their names begin with, such as 'knn'.
        found: on the test images.
        config: of the stage, with `metrics` or without.
        groups: that the test images come in, if any.
    """
    metrics: dict[str, Metric] = {}
    outcomes: dict[str, Any] = {}
    for name in dict.fromkeys((MAIN[found.kind], *(config.get("metrics") or ()))):
        outcome = outcome_of(found, name, groups)
        outcomes[f"{task}/{name}"] = outcome
        unit = found.unit if name in LOWER_IS_BETTER else ""
        metrics[f"{task}/{name}"] = replace(metric_of(outcome), unit=unit)
    return metrics, outcomes


def outcome_of(
    found: Scored, name: str, groups: Groups | None = None
) -> torch.Tensor | Grouped | Resampled:
    """What rows are compared by in a metric: which images are right, or its resamples."""
    if name == TOP1:
        return in_groups(found.correct, groups)
    return resampled(found.value(name), len(found.labels), groups)


def metric_of(outcome: torch.Tensor | Grouped | Resampled) -> Metric:
    """The metric of :func:`outcome_of`, with its interval."""
    return over_resamples(outcome) if isinstance(outcome, Resampled) else share(outcome)


def main_outcome(found: Scored, groups: Groups | None) -> torch.Tensor:
    """What a part of a stage keeps of its main metric, see :func:`outcome_again`.

    Which images are right, (N,) bool; of other kinds the metric resampled, (1 + B,) float64.
    """
    outcome = outcome_of(found, MAIN[found.kind], groups)
    return torch.from_numpy(outcome.values) if isinstance(outcome, Resampled) else found.correct


def outcome_again(kept: torch.Tensor, groups: Groups | None) -> torch.Tensor | Grouped | Resampled:
    """The outcome of :func:`main_outcome`, of one training or of S of them, stacked."""
    if kept.dtype == torch.bool:
        return in_groups(kept, groups)
    return Resampled(kept.numpy(), None if groups is None else groups_in(groups.of))


def resampled(value: OfWeights, count: int, groups: Groups | None = None) -> Resampled:
    """A metric of `count` images, and of the resamples that are the same for all classifiers.

    Of images in groups whole groups are drawn (Davison and Hinkley 1997, 3.8). Percentiles are then
    too narrow, for few groups most of all: what is drawn is stretched away from the value by as
    much as Student's t of G - 1 degrees of freedom is wider than a normal deviate, and by
    sqrt(G / (G - 1)), as the expanded percentile interval has it (Hesterberg 2015, arXiv 1411.5279,
    4.3). One group has no resamples.
    """
    whole = value(np.ones(count))
    if groups is None:
        drawn = [value(_times(row, np.arange(count))) for row in resamples(count, seed=0)]
        return Resampled(np.array([whole, *drawn]))
    _, of = np.unique(groups.of, return_inverse=True)
    number = int(of.max()) + 1
    if number < 2:
        return Resampled(np.array([whole]), number)
    drawn = [value(_times(row, of)) for row in resamples(number, seed=0)]
    wider = t_quantile(1 - LEVEL, number - 1) / normal_quantile(1 - LEVEL)
    stretched = wider * (number / (number - 1)) ** 0.5 * (np.array(drawn) - whole)
    return Resampled(np.append(whole, whole + stretched), number)


def _times(drawn: Numbers, of: Numbers) -> Values:
    """How often each image counts whose unit, of those `drawn`, is `of` (N,)."""
    return np.bincount(drawn, minlength=int(of.max()) + 1)[of].astype(np.float64)


def deciding(found: Scored, config: Mapping[str, Any]) -> float:
    """What a setting or a layer is chosen by, on held-out images: the config's `decides`, or top-1.

    Args:
        found: on those.
        config: of the stage.
    """
    name = decider(config, found.kind)
    if name == TOP1:
        return float(found.correct.float().mean())
    return found.value(name)(np.ones(len(found.labels)))


def decider(config: Mapping[str, Any], kind: str = CLASS) -> str:
    """The name of what chooses settings and layers, for answers of a kind."""
    return config.get("decides") or MAIN[kind]


def in_words(value: float, name: str) -> str:
    """What :func:`deciding` found by the metric `name`: '93.1%', or 'auroc 0.931'."""
    return f"{value:.1%}" if name == TOP1 else f"{name} {value:.3f}"


def check_metrics(config: Mapping[str, Any], kind: str = CLASS) -> None:
    """Raise UserError for a metric that answers of a kind do not have, or that cannot decide."""
    known = METRICS_OF[kind]
    named = config.get("metrics") or ()
    if isinstance(named, str) or not isinstance(named, Sequence):
        raise UserError(f"metrics={named!r}: expected a list, such as ['balanced_accuracy']")
    for name in named:
        if name not in known:
            raise UserError(f"metrics has {name!r}{suggest(str(name), [*known])}")
    name = decider(config, kind)
    able = [one for one in dict.fromkeys((MAIN[kind], *known)) if one not in NO_CHOICE]
    if name not in able:
        raise UserError(f"decides={name!r}: expected one of {', '.join(able)}")


def _confusion(shares: Values, labels: Numbers) -> Callable[[Values], Values]:
    """(C, C) of images that count so often each: true class down, answer across."""
    classes = shares.shape[1]
    pairs = labels * classes + shares.argmax(axis=1)

    def counted(times: Values) -> Values:
        counts: Values = np.bincount(pairs, times, classes**2).astype(np.float64)
        return counts.reshape(classes, classes)

    return counted


def _mean_of_classes(
    one: Callable[[Values, Values], float], shares: Values, labels: Numbers
) -> OfWeights:
    """The mean over classes; of two the second one's. Those without images do not count."""
    classes: Iterable[int] = [1] if shares.shape[1] == 2 else range(shares.shape[1])
    ranked = [Ranked.of(shares[:, label], labels == label) for label in classes]
    return mean_over(ranked, one, both_kinds=True)
