"""Rates by layer (Clark et al. 2020; paper, A.1 "End-to-end fine-tuning"), and the encoder's."""

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mae_core.encoders.base import Encoder, layer_ids

NORMS = (nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """One parameter group for each layer; no weight decay on vectors and what the encoder spares.

    `paramwise_cfg.layer_decay` is the factor between neighbouring layers, 0 to 1. The encoder's
    parts are the layers (of a ViT the embedding is layer 0, block i is layer i + 1); everything
    outside the encoder is in the last one. With `paramwise_cfg.decay_vectors` vectors decay too,
    but for those of PyTorch's own norms: so detectron2 does (`get_default_optimizer_params` with
    `weight_decay_norm=0`), whose norms over channels in necks and heads are a class of its own.
    """

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, **_: Any) -> None:
        """Append the groups of `module` to `params`."""
        model = unwrapped(module)
        encoder = encoder_in(model)
        layers, last = layer_ids(encoder), len(encoder.parts()) - 1
        spared = undecayed(model, encoder, self.paramwise_cfg.get("decay_vectors", False))
        groups: dict[tuple[int, bool], dict[str, Any]] = {}
        for parameter in model.parameters():
            if not parameter.requires_grad:
                continue
            layer, decays = layers.get(parameter, last), parameter not in spared
            group = groups.setdefault((layer, decays), {"params": []})
            group["params"].append(parameter)
            group["lr"] = self.base_lr * self.paramwise_cfg["layer_decay"] ** (last - layer)
            group["weight_decay"] = self.base_wd if decays else 0.0
        params.extend(groups.values())


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class EncoderRateConstructor(DefaultOptimWrapperConstructor):
    """mmengine's groups, one for each parameter, with another rate for those of the encoder.

    `paramwise_cfg.encoder_lr_mult` is the factor.
    """

    def add_params(
        self, params: list[dict[str, Any]], module: nn.Module, prefix: str = "", **fields: Any
    ) -> None:
        """Append the groups of `module` to `params`; calls itself for its parts."""
        super().add_params(params, module, prefix, **fields)
        if prefix:
            return
        for group in groups_of(encoder_in(module), params):
            group["lr"] = group.get("lr", self.base_lr) * self.paramwise_cfg["encoder_lr_mult"]


def unwrapped(model: nn.Module) -> Any:
    """A model without what mmengine wraps around it for several processes."""
    return model.module if is_model_wrapper(model) else model


def encoder_in(model: nn.Module) -> Encoder:
    """The encoder of a model, which may be wrapped."""
    return next(one for one in model.modules() if isinstance(one, Encoder))


def groups_of(encoder: Encoder, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The optimizer's groups that have parameters of an encoder alone."""
    own = set(encoder.parameters())
    return [group for group in groups if own.issuperset(group["params"])]


def undecayed(model: nn.Module, encoder: Encoder, decay_vectors: bool) -> set[nn.Parameter]:
    """Parameters without weight decay, see :class:`LayerDecayConstructor`."""
    found = {encoder.get_parameter(name) for name in encoder.no_weight_decay()}
    for module in model.modules():
        norm = type(module) in NORMS
        for parameter in module.parameters(recurse=False):
            if norm if decay_vectors else parameter.ndim < 2:
                found.add(parameter)
    return found
