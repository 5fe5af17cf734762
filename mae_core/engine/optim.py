"""Layer-wise learning-rate decay (Clark et al. 2020; paper, A.1 "End-to-end fine-tuning")."""

import re
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mae_core.encoder import ViTEncoder

NORMS = (nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """One parameter group for each layer; no weight decay on vectors, class token and positions.

    `paramwise_cfg.layer_decay` is the factor between neighbouring layers, 0 to 1. The embedding is
    layer 0, block i is layer i + 1, everything outside the encoder is the last layer.
    With `paramwise_cfg.decay_vectors` vectors decay too, but for those of PyTorch's own norms: so
    detectron2 does (`get_default_optimizer_params` with `weight_decay_norm=0`), whose norms over
    channels in necks and heads are a class of its own.
    """

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, **_: Any) -> None:
        """Append the groups of `module` to `params`."""
        model: Any = module.module if is_model_wrapper(module) else module
        prefix, encoder = next(
            (name, m) for name, m in model.named_modules() if isinstance(m, ViTEncoder)
        )
        last = encoder.depth + 1
        spared = undecayed(model, self.paramwise_cfg.get("decay_vectors", False))
        groups: dict[tuple[int, bool], dict[str, Any]] = {}
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            inside = name.startswith(f"{prefix}.")
            layer = layer_id(name.removeprefix(f"{prefix}."), last) if inside else last
            decays = parameter not in spared
            group = groups.setdefault((layer, decays), {"params": []})
            group["params"].append(parameter)
            group["lr"] = self.base_lr * self.paramwise_cfg["layer_decay"] ** (last - layer)
            group["weight_decay"] = self.base_wd if decays else 0.0
        params.extend(groups.values())


def undecayed(model: nn.Module, decay_vectors: bool) -> set[nn.Parameter]:
    """Parameters without weight decay, see :class:`LayerDecayConstructor`."""
    found = set()
    for module in model.modules():
        norm = type(module) in NORMS
        for name, parameter in module.named_parameters(recurse=False):
            vector = norm if decay_vectors else parameter.ndim < 2
            if vector or name in ("cls_token", "pos_embed"):
                found.add(parameter)
    return found


def layer_id(name: str, last: int) -> int:
    """The layer of an encoder's parameter: 0 for the embedding, `last` for the final norm."""
    block = re.match(r"blocks\.(\d+)\.", name)
    if block:
        return int(block[1]) + 1
    return last if name.startswith("norm.") else 0
