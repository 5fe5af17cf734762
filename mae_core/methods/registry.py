"""Methods of pretraining by name."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from mae_core.encoders.base import Encoder
from mae_core.errors import check_fields
from mae_core.methods.base import Method
from mae_core.registry import METHOD_POINTS, Registry

M = TypeVar("M", bound=type[Method])
MODULES = (
    "mae_core.methods.mae",
    "mae_core.methods.simmim",
    "mae_core.methods.fcmae",
    "mae_core.methods.spark",
    "mae_core.methods.hiera",
)
METHODS: Registry[type[Method]] = Registry("method of pretraining", MODULES, METHOD_POINTS)


def register_method(name: str) -> Callable[[M], M]:
    """Make a subclass of :class:`Method` one that configs name.

    Args:
        name: value of the config's key `method`, and the key of its fields.

    Raises:
        ValueError: if another method has the name, or no key of a config can be called so.
    """
    if not name.isidentifier():
        raise ValueError(f"'{name}' is no name for a method: expected a Python name")

    def register(method: M) -> M:
        method.name = name
        METHODS.add(name, method)
        return method

    return register


def create_method(name: str, encoder: Encoder, **fields: Any) -> Method:
    """The method `name` around an encoder.

    Raises:
        UserError: for an unknown name or field, with the nearest valid one, and as the method.
    """
    method = METHODS[name]
    check_fields(fields, method_fields(method), f"method {name}")
    return method(encoder, **fields)


def method_fields(method: type[Method]) -> tuple[str, ...]:
    """The arguments that a method takes beside the encoder."""
    return tuple(inspect.signature(method).parameters)[1:]
