"""Training in bfloat16, on GPUs and CPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from mae_core.engine.finite import FiniteOptimWrapper


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(FiniteOptimWrapper):
    """Autocast to bfloat16, whose range is float32's: nothing is scaled, nothing underflows.

    mmengine's own wrapper scales the loss whatever the type, and refuses CPUs.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The forward pass of `model`, in bfloat16 where that is safe."""
        with super().optim_context(model), torch.autocast(get_device(), torch.bfloat16):
            yield
