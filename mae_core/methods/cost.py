"""What a pretraining costs, whatever its method, so that methods are compared at equal cost."""

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from mae_core.encoders.cost import flops_in
from mae_core.methods.base import Method

IMAGES = 2  # as batch norm needs more than one
STEP = 3  # a loss and its gradients, for one of the loss (PaLM, arXiv 2204.02311, appendix B)


def flops_an_image(build: Callable[[], Method], size: tuple[int, int]) -> float:
    """What one image costs in a training step: three times its loss, as is usual.

    The loss is counted as an encoder's `forward`, see :func:`mae_core.encoders.cost.flops_of`.
    What activation checkpointing computes twice counts once, and attention as its products.

    Args:
        build: makes the method, on the default device. What looks at masks (masked convolutions,
            mask units) has to be computed on the CPU; all else is counted on 'meta' without being
            computed.
        size: (H, W) of the images.

    Raises:
        Exception: whatever the method raises.
    """
    try:
        return _flops_on("meta", build, size)
    except Exception:  # 'meta' has no numbers, and so does not know which places are visible
        with torch.random.fork_rng(devices=[]):
            return _flops_on("cpu", build, size)


def _flops_on(device: str, build: Callable[[], Method], size: tuple[int, int]) -> float:
    # Fused attention is counted on 'meta' only.
    with torch.device(device), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        method = build()
        images = torch.zeros((IMAGES, method.encoder.config["in_chans"], *size))
        seeds = torch.zeros(IMAGES, dtype=torch.int64)
        return STEP * flops_in(lambda: method.losses(images, seeds)) / IMAGES
