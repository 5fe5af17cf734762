"""What regression is judged by, on images that count so often each, in the number's unit.

Each is scikit-learn's or SciPy's within 1e-9, of values near a million with a deviation of 1 too:
sums of squares are of what is left of the mean.
"""

from collections.abc import Callable

import numpy as np

from downstream.classification.ranking import OfWeights, Values


def r2(answers: Values, truth: Values) -> OfWeights:
    """Share of the truth's variance that is explained, at most 1; below 0 if its mean is nearer.

    It is nan where the truth is constant.
    """
    number, squares = truth[:, 0], (answers[:, 0] - truth[:, 0]) ** 2

    def value(times: Values) -> float:
        counted = number[times > 0]
        if counted.min() == counted.max():  # rounding would leave a variance
            return np.nan
        rest = number - times @ number / times.sum()
        return float(1 - times @ squares / (times @ rest**2))

    return value


def mae(answers: Values, truth: Values) -> OfWeights:
    """Mean absolute error."""
    errors = np.abs(answers[:, 0] - truth[:, 0])
    return lambda times: float(times @ errors / times.sum())


def rmse(answers: Values, truth: Values) -> OfWeights:
    """Root of the mean squared error."""
    squares = (answers[:, 0] - truth[:, 0]) ** 2
    return lambda times: float(times @ squares / times.sum()) ** 0.5


def spearman(answers: Values, truth: Values) -> OfWeights:
    """Spearman's rank correlation, -1 to 1; equal values share the mean of their ranks.

    It is nan where the answers or the truth are constant, or an answer is nan.
    """
    if np.isnan(answers).any():
        return lambda times: np.nan
    ranks = [_ranks(answers[:, 0]), _ranks(truth[:, 0])]

    def value(times: Values) -> float:
        # From their mean, which is half of all that count: halves, so that sums are exact.
        first, second = (rank(times) - times.sum() / 2 for rank in ranks)
        weighted = times * first
        variances = float(weighted @ first) * float(times @ second**2)
        return float(weighted @ second) / variances**0.5 if variances else np.nan

    return value


NUMBER_METRICS: dict[str, Callable[[Values, Values], OfWeights]] = {
    "r2": r2,
    "mae": mae,
    "rmse": rmse,
    "spearman": spearman,
}
"""By name. Each takes `answers` (N, 1) and `truth` (N, 1) in the number's unit; it gives a function
of how often each image counts, (N,), at least one of them."""
LOWER_IS_BETTER = ("mae", "rmse")


def _ranks(values: Values) -> Callable[[Values], Values]:
    """For each of (N,) values how many are below it, and half of those that equal it."""
    distinct, of = np.unique(values, return_inverse=True)

    def ranked(times: Values) -> Values:
        equal = np.bincount(of, times, len(distinct))
        found: Values = (np.cumsum(equal) - equal / 2)[of]
        return found

    return ranked
