"""Models by name: the sizes of the paper and a small one for the demo."""

import inspect
from typing import Any

from mae_core.encoder import ViTEncoder
from mae_core.errors import UserError, check_fields, suggest
from mae_core.mae import MAE

ENCODERS: dict[str, dict[str, Any]] = {
    "vit-micro-p6": {"patch_size": 6, "width": 96, "depth": 6, "heads": 3},
    "vit-tiny-p16": {"patch_size": 16, "width": 192, "depth": 12, "heads": 3},
    "vit-small-p16": {"patch_size": 16, "width": 384, "depth": 12, "heads": 6},
    "vit-base-p16": {"patch_size": 16, "width": 768, "depth": 12, "heads": 12},
    "vit-large-p16": {"patch_size": 16, "width": 1024, "depth": 24, "heads": 16},
    "vit-huge-p14": {"patch_size": 14, "width": 1280, "depth": 32, "heads": 16},
}
ENCODER_FIELDS = tuple(inspect.signature(ViTEncoder).parameters)
MAE_FIELDS = tuple(inspect.signature(MAE).parameters)[1:]  # all but the encoder


def create_encoder(arch: str, **overrides: Any) -> ViTEncoder:
    """The encoder named `arch`; any argument of :class:`ViTEncoder` can be overridden.

    Raises:
        UserError: for an unknown name or argument, with the nearest valid one.
    """
    if arch not in ENCODERS:
        raise UserError(f"no architecture is called '{arch}'{suggest(arch, ENCODERS)}")
    check_fields(overrides, ENCODER_FIELDS, "encoder")
    return ViTEncoder(**{**ENCODERS[arch], **overrides})


def create_model(arch: str, **overrides: Any) -> MAE:
    """The masked autoencoder around encoder `arch`.

    Overrides are arguments of :class:`MAE` or :class:`ViTEncoder`. The decoder is 512 wide and
    8 blocks deep (paper, 4.1) unless overridden.

    Raises:
        UserError: for an unknown name or argument, with the nearest valid one.
    """
    check_fields(overrides, (*MAE_FIELDS, *ENCODER_FIELDS), "model")
    mae = {key: overrides.pop(key) for key in MAE_FIELDS if key in overrides}
    return MAE(create_encoder(arch, **overrides), **mae)
