"""How sure a number is, and whether two encoders differ.

Without torch, and with the slow part of SciPy only where a test needs it: a leaderboard of single
runs needs neither.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy  # which imports its parts when they are first used
from numpy.typing import ArrayLike, NDArray

from downstream.clusters import grouped_variance, groups_in
from downstream.crossed import Layout, layout_of
from downstream.outcomes import Episodes, Grouped, Outcomes, Repeated, Resampled
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
        difference: the first's value minus the second's, in the metric's unit.
        low, high: 95 % interval of the difference; infinite where nothing is known of it.
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


def share(correct: "Tensor | NDArray[np.bool_] | Grouped") -> Metric:
    """Share of True in `correct` (N,); the width is the larger arm of Wilson's score interval.

    Of cases in groups see :func:`share_of_groups`.
    """
    if isinstance(correct, Grouped):
        return share_of_groups(correct)
    n, k = len(correct), int(correct.sum())
    return _wilson(n, k, normal_quantile(1 - LEVEL))


def share_of_groups(correct: Grouped) -> Metric:
    """Share of True among cases in groups; its interval covers other groups.

    It is Wilson's for as many cases as would be as sure if each were a group of its own (the
    effective number, Korn and Graubard 1998, by the variance of :mod:`downstream.clusters`), with
    Student's t of the groups less one. Where all cases are alike each group counts as one case.
    One group has no interval.
    """
    n, k, groups = len(correct.values), int(correct.values.sum()), groups_in(correct.groups)
    if groups < 2:
        return Metric(k / n)
    variance = grouped_variance(correct.values.astype(np.float64), correct.groups)
    effective = min(k / n * (1 - k / n) / variance, n) if variance else groups
    return _wilson(effective, k / n * effective, t_quantile(1 - LEVEL, groups - 1))


def _wilson(n: float, k: float, z: float) -> Metric:
    """The score interval of `k` in `n`, with the quantile `z`."""
    middle = (k + z**2 / 2) / (n + z**2)
    arm = z / (n + z**2) * (k * (n - k) / n + z**2 / 4) ** 0.5
    return Metric(k / n, arm + abs(middle - k / n))


def mean(values: ArrayLike | Grouped) -> Metric:
    """Mean of (N,) values and the half width of its 95 % t interval, in groups for other groups."""
    if isinstance(values, Grouped):
        return over_trainings(values.values[None], values.groups)
    cases = np.asarray(values, np.float64)
    n = len(cases)
    arm = t_quantile(1 - LEVEL, n - 1) * float(cases.var(ddof=1) / n) ** 0.5
    return Metric(float(cases.mean()), arm)


def over_trainings(values: ArrayLike, groups: NDArray[np.int64] | None = None) -> Metric:
    """Mean of (S, N) outcomes of S trainings, each tested on the same N cases.

    The 95 % interval covers both other trainings and other cases, by the two variances of a two-way
    random layout, each with its own quantile (Graybill and Wang 1980). Where cases come in groups,
    `groups` (N,), it covers other groups of cases; one group has no interval.
    """
    outcomes = np.asarray(values, np.float64)
    if groups is not None and groups_in(groups) < 2:
        return Metric(float(outcomes.mean()))
    return Metric(float(outcomes.mean()), _Layout.of(outcomes, groups).arm(1 - LEVEL))


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
    """A metric that is no mean of cases; the width is the larger arm of its percentile interval.

    Of several trainings it is their mean, and the interval covers other trainings too. There is
    none without resamples, as of one group of cases, or where more than 5 % of them have no value.
    """
    if not _enough(resampled.values):
        return Metric(float(resampled.values[..., 0].mean()))
    if resampled.values.ndim == 2:
        found = _of_resampled_trainings(resampled.values)
        return Metric(found.difference, found.high - found.difference)
    value, drawn = float(resampled.values[0]), resampled.values[1:]
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Metric(value, float(max(high - value, value - low, 0.0)))


def over_episodes(episodes: Episodes) -> Metric:
    """Mean accuracy of few-shot episodes; its 95 % interval covers other episodes of other images.

    Where the classes are a sample, it covers other classes, too. See :mod:`downstream.crossed`.
    """
    layout = layout_of(episodes.correct.astype(np.float64), episodes)
    return Metric(layout.value, t_quantile(1 - LEVEL, layout.freedom) * layout.error)


def over_repeated(repeated: Repeated) -> Metric:
    """Mean of few-shot runs; the interval covers other trainings, episodes and images."""
    found = _of_repeated([layout_of(run.correct.astype(np.float64), run) for run in repeated.runs])
    return Metric(found.difference, found.high - found.difference)


def compare(first: Outcomes, second: Outcomes, seed: int = 0) -> Comparison:
    """Two encoders' outcomes of the same cases.

    Args:
        first, second: bool (N,): McNemar's exact test (1947) on the cases where they differ. Float
            (N,): paired bootstrap. (S, N): the interval of :func:`over_trainings`. Resampled:
            percentiles of the difference on the same resamples; of several trainings the variance
            of those and of the resampled mean. Episodes: the interval of :func:`over_episodes` of
            the difference. Repeated: that of :func:`over_repeated`. Grouped (N,): Student's t of
            the mean difference, by the variance of :mod:`downstream.clusters`; (S, N): as above,
            for other groups.
        seed: of the bootstrap.

    Raises:
        ValueError: if the kinds, the shapes or the draws of episodes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"outcomes of {first.shape} and {second.shape} cases cannot be paired")
    if isinstance(first, Resampled) and isinstance(second, Resampled):
        apart = first.values - second.values
        if not _enough(apart):
            return _unknown(float(apart[..., 0].mean()))
        return _of_resampled_trainings(apart) if apart.ndim == 2 else _of_resamples(apart)
    if isinstance(first, Episodes) and isinstance(second, Episodes):
        return _of_episodes(first, second)
    if isinstance(first, Repeated) and isinstance(second, Repeated):
        pairs = zip(first.runs, second.runs, strict=True)
        return _of_repeated([_layout_of_pair(*pair) for pair in pairs])
    if isinstance(first, Grouped) and isinstance(second, Grouped):
        return _of_grouped(first, second)
    if not (isinstance(first, np.ndarray) and isinstance(second, np.ndarray)):
        raise ValueError("outcomes of two kinds cannot be paired")
    difference = first.astype(np.float64) - second.astype(np.float64)
    if difference.ndim == 2:
        return _of_trainings(difference)
    return _mcnemar(difference) if first.dtype == bool else _bootstrap(difference, seed)


def compare_apart(first: Metric, second: Metric) -> Comparison | None:
    """Two numbers of which no common cases are known, as if their tests were independent.

    Their intervals' half widths add in squares; p is of the normal distribution. None if one has no
    interval.
    """
    if first.ci95 is None or second.ci95 is None:
        return None
    value, arm = first.value - second.value, (first.ci95**2 + second.ci95**2) ** 0.5
    deviation = arm / normal_quantile(1 - LEVEL)
    if deviation > 0:
        p = float(2 * scipy.special.ndtr(-abs(value) / deviation))
    else:
        p = float(value == 0)
    return Comparison(value, value - arm, value + arm, p)


def holm(values: Sequence[float]) -> list[float]:
    """Each p of several tests, adjusted so that all of them together err as one would (Holm 1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none is below a smaller one,
    none above 1.
    """
    adjusted, least = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda place: values[place])):
        least = max(least, min((len(values) - rank) * values[place], 1.0))
        adjusted[place] = least
    return adjusted


def _of_grouped(first: Grouped, second: Grouped) -> Comparison:
    if not first.same_groups(second):
        raise ValueError("cases in other groups cannot be paired")
    difference = first.values.astype(np.float64) - second.values.astype(np.float64)
    groups = groups_in(first.groups)
    if groups < 2:
        return _unknown(float(difference.mean()))
    if difference.ndim == 2:
        return _of_trainings(difference, first.groups)
    error = grouped_variance(difference, first.groups) ** 0.5
    return _by_t(Layout(float(difference.mean()), error, groups - 1))


def _unknown(difference: float) -> Comparison:
    """Of a difference in any unit, of which one group of cases, or no resample, says no more."""
    return Comparison(difference, -math.inf, math.inf, 1.0)


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


def _enough(values: Values) -> bool:
    """Whether nearly all resamples of :class:`Resampled` have a value, in all trainings."""
    known = np.isfinite(np.atleast_2d(values)[:, 1:]).all(axis=0)
    return bool(known.size and known.mean() >= LEVEL)


def _layout_of_pair(first: Episodes, second: Episodes) -> Layout:
    if not first.same_draw(second):
        raise ValueError("other episodes cannot be paired")
    return layout_of(first.correct.astype(np.float64) - second.correct, first)


def _of_repeated(layouts: Sequence[Layout]) -> Comparison:
    """Of several trainings, each with its own episodes, drawn from the same images.

    The spread of the trainings is also that of their episodes; as all use the same images, the mean
    is no surer of those than each of them is.
    """
    values = np.array([layout.value for layout in layouts])
    trainings = float(values.var(ddof=1)) / len(values)
    images = float(np.mean([layout.error**2 for layout in layouts]))
    return _of_layout(float(values.mean()), _Layout(len(values), trainings, images))


def _of_episodes(first: Episodes, second: Episodes) -> Comparison:
    return _by_t(_layout_of_pair(first, second))


def _by_t(layout: Layout) -> Comparison:
    arm = t_quantile(1 - LEVEL, layout.freedom) * layout.error
    p = 1.0
    if layout.error:
        ratio = abs(layout.value) / layout.error
        p = max(2 * float(scipy.special.stdtr(layout.freedom, -ratio)), SMALLEST)
    return Comparison(layout.value, layout.value - arm, layout.value + arm, p)


def _of_trainings(difference: Values, groups: NDArray[np.int64] | None = None) -> Comparison:
    return _of_layout(float(difference.mean()), _Layout.of(difference, groups))


def _of_resampled_trainings(difference: Values) -> Comparison:
    """(S, 1 + B): of S trainings, on all cases, then on each resample.

    The spread of the trainings on all cases is that of trainings and of what they make of the
    cases; the mean's spread over the resamples is that of the cases.
    """
    count, own, drawn = len(difference), difference[:, 0], difference[:, 1:].mean(axis=0)
    trainings = float(own.var(ddof=1)) / count if count > 1 else 0.0
    return _of_layout(float(own.mean()), _Layout(count, trainings, float(np.nanvar(drawn))))


def _of_layout(value: float, layout: "_Layout") -> Comparison:
    arm = layout.arm(1 - LEVEL)
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
    """Variances of the mean of (S, N) values: of the trainings and of the cases or `groups`."""

    count: int
    trainings: float
    cases: float
    groups: int | None = None

    @classmethod
    def of(cls, values: Values, groups: NDArray[np.int64] | None = None) -> "_Layout":
        count, n = values.shape
        together = None if groups is None else groups_in(groups)

        def variance(one: Values) -> float:
            """Of the mean of (N,) values."""
            if groups is None:
                return float(one.var(ddof=1)) / n
            return grouped_variance(one, groups)

        cases = variance(values.mean(axis=0))
        if count == 1:
            return cls(count, 0.0, cases, together)
        own = values.mean(axis=1, keepdims=True)
        rest = values - values.mean(axis=0) - own + values.mean()
        if groups is None:
            noise = float((rest**2).sum()) / ((count - 1) * (n - 1)) / (count * n)
        else:
            noise = sum(map(variance, rest)) / ((count - 1) * count)
        return cls(count, max(float(own.var(ddof=1)) / count - noise, 0.0), cases, together)

    def arm(self, p: float) -> float:
        """Half width of the interval of level 1 - p."""
        t, z = t_quantile(p, max(self.count - 1, 1)), normal_quantile(p)
        if self.groups is not None:
            z = t_quantile(p, self.groups - 1)
        return (t**2 * self.trainings + z**2 * self.cases) ** 0.5
