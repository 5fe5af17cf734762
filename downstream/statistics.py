"""How sure a number is, and whether two encoders differ.

Without torch, and with the slow part of SciPy only where a test needs it: a leaderboard of single
runs needs neither.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy  # which imports its parts when they are first used
from numpy.typing import ArrayLike, NDArray

from downstream.crossed import layout_of
from downstream.outcomes import Episodes, Outcomes, Resampled
from mae_core.stage import Metric

if TYPE_CHECKING:
    from torch import Tensor

Values = NDArray[np.float64]
LEVEL = 0.95
RESAMPLES = 2000
RESAMPLES_OF_IMAGES = 1000  # where each costs an evaluation
SMALLEST = 1e-12  # p that is told
BLOCK = 10**6  # numbers resampled at once


@dataclass(frozen=True)
class Comparison:
    """The difference of two encoders on the same cases.

    Attributes:
        difference: mean of the first minus mean of the second, -1 to 1.
        low, high: 95 % interval of the difference.
        p: probability of such a difference, or a larger one, if there were none.
    """

    difference: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """'better', 'worse' or 'no difference shown', of the first, at 5 %."""
        if self.p >= 1 - LEVEL:
            return "no difference shown"
        return "better" if self.difference > 0 else "worse"


def share(correct: "Tensor | NDArray[np.bool_]") -> Metric:
    """Share of True in `correct` (N,); the width is the larger arm of Wilson's score interval."""
    n, k = len(correct), int(correct.sum())
    z = normal_quantile(1 - LEVEL)
    middle = (k + z**2 / 2) / (n + z**2)
    arm = z / (n + z**2) * (k * (n - k) / n + z**2 / 4) ** 0.5
    return Metric(k / n, arm + abs(middle - k / n))


def mean(values: ArrayLike) -> Metric:
    """Mean of (N,) values and the half width of its 95 % t interval."""
    cases = np.asarray(values, np.float64)
    n = len(cases)
    arm = t_quantile(1 - LEVEL, n - 1) * float(cases.var(ddof=1) / n) ** 0.5
    return Metric(float(cases.mean()), arm)


def over_trainings(values: ArrayLike) -> Metric:
    """Mean of (S, N) outcomes of S trainings, each tested on the same N cases.

    The 95 % interval covers both other trainings and other cases, by the two variances of a two-way
    random layout, each with its own quantile (Graybill and Wang 1980).
    """
    outcomes = np.asarray(values, np.float64)
    return Metric(float(outcomes.mean()), _Layout.of(outcomes).arm(1 - LEVEL))


def t_quantile(p: float, freedom: int) -> float:
    """What Student's t exceeds in size with probability `p`."""
    return float(-scipy.special.stdtrit(freedom, p / 2))


def normal_quantile(p: float) -> float:
    """What a standard normal variable exceeds in size with probability `p`."""
    return float(-scipy.special.ndtri(p / 2))


def resamples(cases: int, seed: int) -> NDArray[np.int64]:
    """(RESAMPLES_OF_IMAGES, cases): for each resample, the cases drawn with replacement.

    The same for all encoders tested on as many cases, so that their resampled metrics are paired.
    """
    rng = np.random.default_rng(seed)
    return rng.integers(0, cases, (RESAMPLES_OF_IMAGES, cases))


def over_resamples(resampled: Resampled) -> Metric:
    """A metric that is no mean of cases; the width is the larger arm of its percentile interval."""
    value, drawn = float(resampled.values[0]), resampled.values[1:]
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Metric(value, float(max(high - value, value - low, 0.0)))


def over_episodes(episodes: Episodes) -> Metric:
    """Mean accuracy of few-shot episodes; its 95 % interval covers other episodes of other images.

    Where the classes are a sample, it covers other classes, too. See :mod:`downstream.crossed`.
    """
    layout = layout_of(episodes.correct.astype(np.float64), episodes)
    return Metric(layout.value, t_quantile(1 - LEVEL, layout.freedom) * layout.error)


def compare(first: Outcomes, second: Outcomes, seed: int = 0) -> Comparison:
    """Two encoders' outcomes of the same cases.

    Args:
        first, second: bool (N,): McNemar's exact test (1947) on the cases where they differ. Float
            (N,): paired bootstrap. (S, N): the interval of :func:`over_trainings`. Resampled:
            percentiles of the difference on the same resamples. Episodes: the interval of
            :func:`over_episodes` of the difference.
        seed: of the bootstrap.

    Raises:
        ValueError: if the kinds, the shapes or the draws of episodes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"outcomes of {first.shape} and {second.shape} cases cannot be paired")
    if isinstance(first, Resampled) and isinstance(second, Resampled):
        return _of_resamples(first.values - second.values)
    if isinstance(first, Episodes) and isinstance(second, Episodes):
        return _of_episodes(first, second)
    if isinstance(first, Resampled | Episodes) or isinstance(second, Resampled | Episodes):
        raise ValueError("outcomes of two kinds cannot be paired")
    difference = first.astype(np.float64) - second.astype(np.float64)
    if difference.ndim == 2:
        return _of_trainings(difference)
    return _mcnemar(difference) if first.dtype == bool else _bootstrap(difference, seed)


def _mcnemar(difference: Values) -> Comparison:
    value, n = float(difference.mean()), len(difference)
    won, differ = int((difference > 0).sum()), int((difference != 0).sum())
    p = float(scipy.stats.binomtest(won, differ).pvalue) if differ else 1.0
    arm = normal_quantile(1 - LEVEL) * float(difference.std()) / n**0.5
    return Comparison(value, value - arm, value + arm, p)


def _bootstrap(difference: Values, seed: int) -> Comparison:
    found = scipy.stats.bootstrap(
        (difference,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(BLOCK // len(difference), 1),
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    means = found.bootstrap_distribution
    below, above = (means <= 0).sum() + 1, (means >= 0).sum() + 1
    p = min(2 * int(min(below, above)) / (RESAMPLES + 1), 1.0)
    interval = found.confidence_interval
    return Comparison(float(difference.mean()), float(interval.low), float(interval.high), p)


def _of_resamples(difference: Values) -> Comparison:
    """(1 + B,): on all cases, then on each resample."""
    value, drawn = float(difference[0]), difference[1:][np.isfinite(difference[1:])]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    below, above = (drawn <= 0).sum() + 1, (drawn >= 0).sum() + 1
    p = min(2 * int(min(below, above)) / (len(drawn) + 1), 1.0)
    return Comparison(value, float(low), float(high), p)


def _of_episodes(first: Episodes, second: Episodes) -> Comparison:
    if not first.same_draw(second):
        raise ValueError("other episodes cannot be paired")
    layout = layout_of(first.correct.astype(np.float64) - second.correct, first)
    arm = t_quantile(1 - LEVEL, layout.freedom) * layout.error
    p = 1.0
    if layout.error:
        ratio = abs(layout.value) / layout.error
        p = max(2 * float(scipy.special.stdtr(layout.freedom, -ratio)), SMALLEST)
    return Comparison(layout.value, layout.value - arm, layout.value + arm, p)


def _of_trainings(difference: Values) -> Comparison:
    layout = _Layout.of(difference)
    value, arm = float(difference.mean()), layout.arm(1 - LEVEL)
    size = abs(value)
    if size <= layout.arm(1.0):
        p = 1.0
    elif size >= layout.arm(SMALLEST):
        p = SMALLEST
    else:
        p = float(scipy.optimize.brentq(lambda level: layout.arm(level) - size, SMALLEST, 1.0))
    return Comparison(value, value - arm, value + arm, p)


@dataclass(frozen=True)
class _Layout:
    """Variances of the mean of (S, N) values: of the trainings and of the cases."""

    count: int
    trainings: float
    cases: float

    @classmethod
    def of(cls, values: Values) -> "_Layout":
        count, n = values.shape
        cases = float(values.mean(axis=0).var(ddof=1)) / n
        if count == 1:
            return cls(count, 0.0, cases)
        own = values.mean(axis=1, keepdims=True)
        rest = values - values.mean(axis=0) - own + values.mean()
        noise = float((rest**2).sum()) / ((count - 1) * (n - 1)) / (count * n)
        return cls(count, max(float(own.var(ddof=1)) / count - noise, 0.0), cases)

    def arm(self, p: float) -> float:
        """Half width of the interval of level 1 - p."""
        t, z = t_quantile(p, max(self.count - 1, 1)), normal_quantile(p)
        return (t**2 * self.trainings + z**2 * self.cases) ** 0.5
