"""How sure a mean is whose cases come in groups, such as images of patients.

Cases of a group vary together, so the groups are what is sampled. The variance of the mean of all
cases, a ratio of sums over groups, is that of the delete-a-group jackknife (Shao and Tu 1995, 2.1;
for few groups MacKinnon, Nielsen and Webb 2023, "CV3"), with G - 1 degrees of freedom for G groups.
It is what a bootstrap of groups aims at (Davison and Hinkley 1997, 3.8; Field and Welsh 2007),
whose percentiles are too narrow for fewer than some 20 groups.
"""

import numpy as np
from numpy.typing import NDArray


def groups_in(groups: NDArray[np.int64]) -> int:
    """How many there are."""
    return len(np.unique(groups))


def grouped_variance(values: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """The variance of the mean of values for other groups.

    Args:
        values: (N,), of the cases.
        groups: (N,), the number of each case's group; two or more groups.
    """
    _, of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    count, rest = len(sizes), values - values.mean()
    # Without group g the mean is the sum of its residuals over the other cases lower.
    moved = np.bincount(of, rest) / (len(values) - sizes)
    return float((count - 1) / count * (moved**2).sum())
