"""LARS (You et al. 2017, arXiv 1708.03888) of timm, as linear probes use it."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from timm.optim import Lars
from torch import nn

from mae_core.engine.optim import unwrapped

OPTIMIZERS.register_module(name="Lars", module=Lars)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LarsConstructor(DefaultOptimWrapperConstructor):
    """Rates adapted and weights decayed for matrices alone, as in MoCo v3 and MAE."""

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: Any = None) -> None:
        # without a paramwise_cfg mmengine would not ask for groups
        super().__init__(optim_wrapper_cfg, paramwise_cfg or {"bypass_duplicate": False})

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, **_: Any) -> None:
        """Append two groups of the trained parameters of `module` to `params`."""
        model = unwrapped(module)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        matrices = [parameter for parameter in trained if parameter.ndim > 1]
        vectors = [parameter for parameter in trained if parameter.ndim <= 1]
        params.append({"params": matrices, "always_adapt": True})
        params.append({"params": vectors, "always_adapt": False, "weight_decay": 0.0})
