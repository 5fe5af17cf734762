"""What timm says of its models by name: which there are, and what their weights were trained on."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

import timm
from timm.models import PretrainedCfg

from mae_core.encoders.timm_build import preprocessing_of
from mae_core.errors import UserError
from mae_core.names import TIMM

NAME = re.compile(r"[\w.-]+")  # of a model, which is part of a file's name
NEAREST = 3  # names that a message offers instead of a wrong one
UNKNOWN = "unknown"  # a licence of which nothing is said


def check_model(name: str) -> str:
    """timm's architecture of `name`, such as 'resnet50' of 'resnet50.a1_in1k' or itself.

    Raises:
        UserError: if timm has no such model, or no such weights of it, with the nearest names.
    """
    arch, _, tag = name.partition(".")
    if NAME.fullmatch(name) and timm.is_model(arch):
        if not tag or name in timm.list_pretrained():
            return arch
        raise UserError(f"timm has no weights '{name}'{nearest(name, timm.list_pretrained())}")
    every = [*timm.list_models(), *timm.list_pretrained()]
    raise UserError(f"timm has no model called '{name}'{nearest(name, every)}")


def pretrained_name(name: str) -> str:
    """The full name of a model's weights: 'resnet50.a1_in1k' for itself and for 'resnet50'.

    Raises:
        UserError: if timm has no weights of that name, with the nearest.
    """
    if check_model(name) != name:
        return name
    full = f"{name}.{config_of(name).tag}"
    if full in timm.list_pretrained():
        return full
    raise UserError(
        f"timm has the model '{name}', but no weights of it: timm:{name}@<file> takes yours, "
        f"timm:{name}@random begins without any"
    )


def config_of(name: str) -> PretrainedCfg:
    """What timm says of a model's weights, by a name that it knows."""
    found = timm.get_pretrained_cfg(name)
    if found is None:  # timm's type; each model has one
        raise UserError(f"timm says nothing of '{name}'")
    return found


def facts(cfg: PretrainedCfg) -> dict[str, Any]:
    """What a file with these weights says of the images that they were trained on: metadata.

    Returns:
        `pixels`: `mean` and `std` of each channel in 0 to 255; `preprocessing`: `input_size`
        [height, width], `interpolation` ('bilinear' or 'bicubic') and `crop_pct`; `licence`.
    """
    return {**preprocessing_of(cfg).metadata(), "licence": (cfg.license or UNKNOWN).lower()}


def nearest(name: str, known: Iterable[str]) -> str:
    """': did you mean 'a', 'b' or 'c'?' of the nearest names, the nearest first."""
    found = difflib.get_close_matches(name, list(known), n=NEAREST, cutoff=0.4)
    if not found:
        return f": `mae-bench encoders` lists them ({TIMM}<model>)"
    *others, last = map(repr, found)
    first = f"{', '.join(others)} or " if others else ""
    return f": did you mean {first}{last}?"
