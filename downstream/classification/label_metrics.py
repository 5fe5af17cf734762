"""What multi-label classifiers are judged by, on images that count so often each.

Each metric is scikit-learn's with the mean over labels ('macro'), but that labels without what it
needs among the images that count are left out, where scikit-learn counts them as 0. A label is
answered where its probability is above 1/2, as scikit-learn's own classifiers have it: one of
exactly 1/2 is not.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.classification.ranking import Numbers, OfWeights, Values, area, mean_over, precision

THRESHOLD = 0.5


def mean_average_precision(shares: Values, truth: Values) -> OfWeights:
    """Mean of the labels' average precisions; labels without an image are left out."""
    return _mean_of_labels(precision, shares, truth, both_kinds=False)


def auroc(shares: Values, truth: Values) -> OfWeights:
    """Mean of the labels' areas under the ROC curve, of those that some images have and some not.

    Half of what pairs of one score have counts.
    """
    return _mean_of_labels(area, shares, truth, both_kinds=True)


def macro_f1(shares: Values, truth: Values) -> OfWeights:
    """Mean of the labels' harmonic means of precision and recall.

    Labels that no image has and none is given are left out; of all others one that is never right
    counts as 0.
    """
    answer, own = shares > THRESHOLD, truth > 0
    both = answer.astype(np.float64) + own
    right = (answer & own).astype(np.float64)

    def value(times: Values) -> float:
        size = times @ both
        there = size > 0
        return float((2 * (times @ right)[there] / size[there]).mean()) if there.any() else np.nan

    return value


def exact_match(shares: Values, truth: Values) -> OfWeights:
    """Share of the images with every label right."""
    right = ((shares > THRESHOLD) == (truth > 0)).all(axis=1).astype(np.float64)
    return lambda times: float(times @ right / times.sum())


LABEL_METRICS: dict[str, Callable[[Values, Values], OfWeights]] = {
    "map": mean_average_precision,
    "auroc": auroc,
    "macro_f1": macro_f1,
    "exact_match": exact_match,
}
"""By name. Each takes `shares` (N, L), the probabilities of L labels, 0 to 1, and `truth` (N, L), 1
where an image has a label, else 0; it gives a function of how often each image counts, (N,), at
least one of them. That gives nan where no label has what the metric needs."""


class _Places(NamedTuple):
    """Where the curves of one label can bend, at the highest score first.

    Scores that no image of the label has lie on a straight line up to the next that one has: they
    share a place, so that there are few of a rare label.

    Attributes:
        of: (N,) the place of each image.
        own: (K,) the images of the label.
        number: of places.
    """

    of: Numbers
    own: Numbers
    number: int

    @classmethod
    def among(cls, scores: Values, own: NDArray[np.bool_]) -> "_Places":
        """Those of `scores` (N,); `own` (N,) tells the images of the label."""
        _, rank = np.unique(-scores, return_inverse=True)
        has = np.bincount(rank, own) > 0
        place = np.cumsum(has | np.append(False, has[:-1]))
        return cls(place[rank], np.flatnonzero(own), int(place[-1]) + 1)

    def counts(self, times: Values) -> tuple[Values, Values]:
        """How many of the label, and of the others, are at each place or before it."""
        own = np.bincount(self.of[self.own], times[self.own], self.number)
        return np.cumsum(own), np.cumsum(np.bincount(self.of, times, self.number) - own)


def _mean_of_labels(
    one: Callable[[Values, Values], float], shares: Values, truth: Values, both_kinds: bool
) -> OfWeights:
    """The mean over labels that some images have and, for `both_kinds`, some have not."""
    labels = [_Places.among(*pair) for pair in zip(shares.T, truth.T > 0, strict=True)]
    return mean_over(labels, one, both_kinds)
