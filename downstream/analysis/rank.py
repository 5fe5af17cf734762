"""How many directions features use."""

import torch
from torch import Tensor


def rankme(x: Tensor) -> float:
    """RankMe of (N, D) features: the effective rank of the matrix as it is (Garrido et al. 2023).

    1 to min(N, D); published numbers are of 25,600 images.
    """
    return smooth_rank(torch.linalg.svdvals(x.double()))


def effective_rank(x: Tensor) -> float:
    """Effective rank of (N, D) features about their mean (Roy and Vetterli 2007).

    1 to min(N - 1, D); without the mean, which alone can make RankMe small.
    """
    return smooth_rank(torch.linalg.svdvals(x.double() - x.double().mean(dim=0)))


def smooth_rank(singular: Tensor) -> float:
    """The exponential of the entropy of (K,) singular values, scaled to sum 1; 0 if all are 0."""
    if not singular.any():
        return 0.0
    return float(torch.special.entr(singular / singular.sum()).sum().exp())
