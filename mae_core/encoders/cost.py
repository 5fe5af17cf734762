"""How large an encoder is, and what an image costs it."""

from collections.abc import Callable
from threading import Lock

import torch
from torch.utils.flop_counter import FlopCounterMode

from mae_core.encoders.base import Encoder

_ONE_COUNT = Lock()  # the counter hooks into all modules of the process, whoever runs them


def parameters_of(encoder: Encoder) -> int:
    """How many numbers are in an encoder's parameters, also in those that are never trained."""
    return sum(parameter.numel() for parameter in encoder.parameters())


def flops_of(encoder: Encoder) -> int:
    """What `forward` of one image of `encoder.img_size` costs; the encoder stays as it was.

    Two for each multiplication with its addition, in convolutions, linear layers and attention.
    What else there is, such as norms and means, is not counted, as is usual. Nothing is computed if
    the encoder is on the device 'meta'; there attention counts as the matrix products that it is,
    while of the fused ways to compute it on others torch's counter does not know all.

    Raises:
        Exception: whatever `forward` raises, as some architectures do on 'meta'.
    """
    state = [*encoder.parameters(), *encoder.buffers()]
    device = state[0].device if state else torch.device("meta")
    image = torch.zeros((1, encoder.config["in_chans"], *encoder.img_size), device=device)
    training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            return flops_in(lambda: encoder(image))
    finally:
        encoder.train(training)


def flops_in(computation: Callable[[], object]) -> int:
    """What a computation costs, counted as by :func:`flops_of`; it is done."""
    with _ONE_COUNT, FlopCounterMode(display=False) as counter:
        computation()
    return int(counter.get_total_flops())
