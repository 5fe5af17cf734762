"""What depends on the order of scores, of images that count so often each, sorted once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]
OfWeights = Callable[[Values], float]  # a metric of images that count so often each, (N,)


class Ranked(NamedTuple):
    """Images by the score of one class, the highest first.

    Attributes:
        order: (N,) their numbers.
        ends: the place of the last image of each score, as images of one score have no order.
        own: (N,) bool, in that order: whether they are of the class.
    """

    order: Numbers
    ends: Numbers
    own: NDArray[np.bool_]

    @classmethod
    def of(cls, scores: Values, own: NDArray[np.bool_]) -> "Ranked":
        """Images with `scores` (N,), and whether they are of the class, (N,)."""
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        return cls(order, ends, own[order])

    def counts(self, times: Values) -> tuple[Values, Values]:
        """How many of the class, and of the others, have each score or a higher one."""
        ranked = times[self.order]
        own = np.cumsum(ranked * self.own)[self.ends]
        return own, np.cumsum(ranked)[self.ends] - own


def area(own: Values, others: Values) -> float:
    """Under the ROC curve, by trapezoids: half of what pairs of one score have counts."""
    both = np.append(0.0, own[:-1]) + own
    return float((np.diff(others, prepend=0.0) * both).sum() / (2 * own[-1] * others[-1]))


def precision(own: Values, others: Values) -> float:
    """Mean over the images of the class; there is one at the first score that counts."""
    steps, all_of_it = np.diff(own, prepend=0.0), own + others
    there = steps > 0
    return float((steps[there] * own[there] / all_of_it[there]).sum() / own[-1])


class Order(Protocol):
    """Images by the score of one class, or of one label."""

    def counts(self, times: Values) -> tuple[Values, Values]:
        """How many of it, and of the others, have each score or a higher one."""


def mean_over(
    orders: Sequence[Order], one: Callable[[Values, Values], float], both_kinds: bool
) -> OfWeights:
    """The mean of a metric over those that some images have and, for `both_kinds`, some have not.

    Args:
        orders: of each class or label.
        one: its metric, of what :meth:`Order.counts` gives.
        both_kinds: whether one that all images have is left out, too.
    """

    def value(times: Values) -> float:
        found = []
        for order in orders:
            own, others = order.counts(times)
            if own[-1] and (others[-1] or not both_kinds):
                found.append(one(own, others))
        return float(np.mean(found)) if found else np.nan

    return value
