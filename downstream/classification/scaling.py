"""Features of mean 0 and deviation 1 in each dimension.

Logistic regressions need them, as their penalty takes all dimensions for equally large. For kNN and
few-shot they are an option: the published protocols (Wu et al. 2018, 3.4; DINO, arXiv 2104.14294;
DINOv2, arXiv 2304.07193) only scale features to length 1.
"""

import torch


def standardized(bank: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """`bank` (N, D) and `others` (M, D), less the bank's mean, over its deviation."""
    mean, std = bank.mean(0), bank.std(0).clamp(min=1e-6)
    return tuple((x - mean) / std for x in (bank, *others))
