"""A model of timm by depth, as timm groups its parameters for layer-wise decay."""

from itertools import chain
from typing import Any

from timm.models._manipulate import group_with_matcher
from timm.optim import auto_group_layers
from torch import nn

from mae_core.encoders.base import Part

# Not all have a forward of their own, or it is passed by: shards need one.
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def depth_parts(model: Any) -> list[Part]:
    """Modules where all of one is in one group, else single parameters; the classifier's last."""
    groups, last = layer_groups(model)
    parts: list[list[nn.Module | nn.Parameter]] = [[] for _ in range(last + 1)]
    numbers = {parameter: groups[name] for name, parameter in model.named_parameters()}
    split(model, numbers, parts)
    return [tuple(part) for part in parts]


def split(
    module: nn.Module,
    numbers: dict[nn.Parameter, int],
    parts: list[list[nn.Module | nn.Parameter]],
) -> None:
    """Add what is in `module` to the parts of its parameters' numbers."""
    for parameter in module.parameters(recurse=False):
        parts[numbers[parameter]].append(parameter)
    for child in module.children():
        found = {numbers[parameter] for parameter in child.parameters()}
        if len(found) == 1 and type(child) not in CONTAINERS:
            parts[found.pop()].append(child)
        else:
            split(child, numbers, parts)


def layer_groups(model: Any) -> tuple[dict[str, int], int]:
    """Groups as `timm.optim.param_groups_layer_decay` makes them of the model with a classifier.

    Args:
        model: without one.

    Returns:
        The number of each parameter's group by its name, from 0, and of the last group, which the
        classifier is in.
    """
    stated = (model.pretrained_cfg or {}).get("classifier") or ()
    heads = (stated,) if isinstance(stated, str) else tuple(stated)
    if not hasattr(model, "group_matcher"):
        groups = auto_group_layers(model)
        begun = not heads or any(name.startswith(heads) for name in groups)
        return groups, max(groups.values()) + (not begun)
    names = ((f"{head}.weight", None) for head in heads or ("head",))
    objects = chain(model.named_parameters(), names)
    groups = group_with_matcher(objects, model.group_matcher(coarse=False), reverse=True)
    return groups, max(groups.values())
