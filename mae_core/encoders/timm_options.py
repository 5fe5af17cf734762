"""Arguments with which timm builds another model than the one that a name stands for."""

import inspect
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import timm
import torch

from mae_core.errors import UserError, check_fields

# Said elsewhere, or left out.
OURS = ("img_size", "in_chans", "num_classes", "drop_path_rate", "device", "dtype")
MOST = 1 << 16  # of a number


def checked_options(model: str, options: Any) -> dict[str, Any]:
    """Options as JSON has them.

    Args:
        model: timm's name of one that there is.
        options: arguments by name.

    Raises:
        UserError: if they are no texts and numbers up to :data:`MOST` by name, or lists of them, or
            timm's class of the model takes none of a name.
    """
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise UserError(
            f"options={options!r}: expected arguments of timm's model by name, such as "
            "dict(depths=[1, 1, 2, 1])"
        )
    for key, value in options.items():
        if not plain(value):
            raise UserError(
                f"options.{key}={value!r}: expected a text, a number up to {MOST}, or a list"
            )
    check_fields(options, taken_by(model), f"encoder.options of timm's {model}")
    found: dict[str, Any] = json.loads(json.dumps(dict(options)))
    return found


def plain(value: Any) -> bool:
    """Whether a value is a text, number, truth value, None or a list of such."""
    if isinstance(value, list | tuple):
        return all(plain(one) for one in value)
    if isinstance(value, int | float):
        return abs(value) <= MOST
    return value is None or isinstance(value, str)


@lru_cache(64)
def taken_by(model: str) -> tuple[str, ...]:
    """The arguments of timm's class of a model that options may be."""
    with torch.device("meta"):
        kind = type(timm.create_model(model))
    return tuple(name for name in inspect.signature(kind).parameters if name not in OURS)
