"""Classifiers of an episode, for many episodes at once.

Each takes the support (E, ways, shots, D) and queries (E, Q, D), of length 1, and gives the
queries' classes, (E, Q) int64 from 0 to ways - 1.
"""

from collections.abc import Callable

import torch
from torch.nn import functional as F

Head = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
PENALTY = 1.0  # of the squared weights, over the sum of the losses: scikit-learn's defaults
STEPS = 300
TOLERANCE = 1e-4  # of the combination, whose numbers lie between -1 and 1


def nearest_centroid(support: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """The class whose mean is nearest by cosine (Snell et al. 2017, with cosine)."""
    centroids = F.normalize(support.mean(dim=2), dim=-1)
    return (queries @ centroids.mT).argmax(dim=-1)


def ridge(support: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Ridge regression on centred one-hot labels, in closed form (Bertinetto et al. 2019)."""
    _, ways, shots, _ = support.shape
    x = support.flatten(1, 2)
    n = ways * shots
    y = torch.eye(ways).repeat_interleave(shots, 0) - 1 / ways
    dual = torch.linalg.solve(x @ x.mT + PENALTY * torch.eye(n), y.expand(len(x), n, ways))
    return (queries @ (x.mT @ dual)).argmax(dim=-1)


def logistic(support: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Logistic regression (Tian et al. 2020), by Newton's steps with a bound of the Hessian.

    The weights lie in the span of the support: `dual` combines its images, and sums to 0. The bound
    (Böhning 1992) is one for all probabilities, so that an episode needs one inverse; the steps
    cannot overshoot, and end when all are below TOLERANCE.
    """
    _, ways, shots, _ = support.shape
    x = support.flatten(1, 2)
    n = ways * shots
    y = torch.eye(ways).repeat_interleave(shots, 0)
    gram = x @ x.mT  # (E, n, n); weights = x^T dual
    bound = F.pad(gram / 2 + PENALTY * torch.eye(n), (0, 1, 0, 1), value=1.0)
    bound[:, n, n] = 0  # the bias has no penalty
    inverse = bound.inverse()[:, :, :n]
    dual, bias = torch.zeros(len(x), n, ways), torch.zeros(len(x), 1, ways)
    for _ in range(STEPS):
        error = (gram @ dual + bias).softmax(dim=-1) - y
        step = inverse @ (error + PENALTY * dual)
        dual = dual - step[:, :n]
        bias = bias - 2 * step[:, n:]
        if step.abs().max() < TOLERANCE:
            break
    return (queries @ (x.mT @ dual) + bias).argmax(dim=-1)


HEADS: dict[str, Head] = {"centroid": nearest_centroid, "logistic": logistic, "ridge": ridge}
