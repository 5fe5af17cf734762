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
    return (queries @ x.mT @ dual).argmax(dim=-1)


def logistic(support: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Logistic regression (Tian et al. 2020), by Nesterov's method.

    The weights lie in the span of the support, so that they have as many numbers as there are
    images. With features of length 1 and a penalty the steps contract, see STEPS.
    """
    _, ways, shots, _ = support.shape
    x = support.flatten(1, 2)
    n = ways * shots
    y = torch.eye(ways).repeat_interleave(shots, 0)
    gram = x @ x.mT  # (E, n, n); weights = x^T dual
    curvature = torch.linalg.matrix_norm(gram, ord=2)[:, None, None] + n
    rate = 1 / (curvature / 2 + PENALTY)
    dual = ahead = torch.zeros(len(x), n, ways)
    bias = bias_ahead = torch.zeros(len(x), 1, ways)
    for step in range(STEPS):
        error = (gram @ ahead + bias_ahead).softmax(dim=-1) - y
        next_dual = ahead - rate * (error + PENALTY * ahead)
        next_bias = bias_ahead - rate * error.sum(dim=1, keepdim=True)
        momentum = step / (step + 3)
        ahead = next_dual + momentum * (next_dual - dual)
        bias_ahead = next_bias + momentum * (next_bias - bias)
        dual, bias = next_dual, next_bias
    return (queries @ x.mT @ dual + bias).argmax(dim=-1)


HEADS: dict[str, Head] = {"centroid": nearest_centroid, "logistic": logistic, "ridge": ridge}
