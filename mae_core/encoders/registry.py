"""Encoders by name: families, and the architectures of each."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mae_core.encoders.base import Encoder
from mae_core.errors import UserError, check_fields
from mae_core.names import TIMM
from mae_core.reading import VIT
from mae_core.registry import ENCODER_POINTS, Registry

E = TypeVar("E", bound=type[Encoder])
MODULES = (
    "mae_core.encoders.vit",
    "mae_core.encoders.timm_zoo",
    "mae_core.encoders.trivial",
)


@dataclass(frozen=True)
class Architecture:
    """A named encoder.

    Attributes:
        family: of :data:`FAMILIES`.
        fields: arguments of the family's class.
    """

    family: str
    fields: Mapping[str, Any]


FAMILIES: Registry[type[Encoder]] = Registry("encoder family", MODULES, ENCODER_POINTS)
ARCHITECTURES: Registry[Architecture] = Registry("architecture", MODULES, ENCODER_POINTS)


def register_encoder(
    family: str, architectures: Mapping[str, Mapping[str, Any]]
) -> Callable[[E], E]:
    """Make a subclass of :class:`Encoder` a family, with named architectures.

    Args:
        family: its name, which files of its weights carry.
        architectures: the class's arguments by the name of an architecture (`encoder.arch`).

    Raises:
        ValueError: if another family or architecture has a name.
    """

    def register(encoder: E) -> E:
        encoder.family = family
        FAMILIES.add(family, encoder)
        for name, fields in architectures.items():
            ARCHITECTURES.add(name, Architecture(family, dict(fields)))
        return encoder

    return register


def architecture(arch: str) -> Architecture:
    """What a name stands for. Raises UserError for an unknown one, with the nearest."""
    if arch.startswith(TIMM):
        return Architecture("timm", {"model": arch.removeprefix(TIMM)})
    return ARCHITECTURES[arch]


def encoder_class(arch: str) -> type[Encoder]:
    """The class of the encoder named `arch`. Raises UserError if there is none."""
    return FAMILIES[architecture(arch).family]


def create_encoder(arch: str, **overrides: Any) -> Encoder:
    """The encoder named `arch`; any argument of its family's class can be overridden.

    Raises:
        UserError: for an unknown name or argument, with the nearest valid one.
    """
    found = architecture(arch)
    check_fields(overrides, encoder_fields(found.family), "encoder")
    return FAMILIES[found.family](**{**found.fields, **overrides})


def restore_encoder(about: Mapping[str, Any], **overrides: Any) -> Encoder:
    """The encoder that the metadata of a file describe, with new weights.

    Args:
        about: `encoder`, the fields, and `family`; files without it hold a ViT.
        overrides: fields that may differ, such as `img_size`.

    Raises:
        UserError: if there is no such family, or it has no such field.
    """
    family = about.get("family", VIT)
    fields = {**about["encoder"], **overrides}
    encoder = FAMILIES[family]
    check_fields(fields, encoder_fields(family), f"encoder family '{family}'")
    return encoder(**fields)


def named_fields(about: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`create_encoder` takes, with `arch`, for the encoder that metadata describe.

    Raises:
        UserError: if there is no such family, or none of its architectures has a name.
    """
    family, stored = about.get("family", VIT), dict(about["encoder"])
    if family == "timm" and "model" in stored:
        return {"arch": f"{TIMM}{stored.pop('model')}", **stored}
    encoder_fields(family)  # imports what names its architectures
    known = [(name, a.fields) for name, a in ARCHITECTURES.known().items() if a.family == family]
    if not known:
        raise UserError(f"the encoder family '{family}' has no architecture with a name")
    for arch, fields in known:
        if all(stored.get(key) == value for key, value in fields.items()):
            return {"arch": arch, **{k: v for k, v in stored.items() if k not in fields}}
    return {"arch": known[0][0], **stored}


def encoder_fields(family: str) -> tuple[str, ...]:
    """The arguments that a family's class takes."""
    return tuple(inspect.signature(FAMILIES[family]).parameters)
