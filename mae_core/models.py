"""Models by name: the sizes of the paper and a small one for the demo."""

import difflib
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from mae_core.encoder import ViTEncoder
from mae_core.errors import UserError
from mae_core.mae import MAE

ENCODERS: dict[str, dict[str, Any]] = {
    "vit-micro-p6": {"patch_size": 6, "width": 96, "depth": 6, "heads": 3},
    "vit-tiny-p16": {"patch_size": 16, "width": 192, "depth": 12, "heads": 3},
    "vit-small-p16": {"patch_size": 16, "width": 384, "depth": 12, "heads": 6},
    "vit-base-p16": {"patch_size": 16, "width": 768, "depth": 12, "heads": 12},
    "vit-large-p16": {"patch_size": 16, "width": 1024, "depth": 24, "heads": 16},
    "vit-huge-p14": {"patch_size": 14, "width": 1280, "depth": 32, "heads": 16},
}
MAE_FIELDS = ("mask_ratio", "norm_pix_loss", "decoder_width", "decoder_depth", "decoder_heads")
ENCODER_FIELDS = tuple(inspect.signature(ViTEncoder).parameters)


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


def suggest(name: str, choices: Any) -> str:
    """': did you mean X? Choices: ...' for an error message."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.4)
    hint = f": did you mean '{near[0]}'?" if near else "."
    return f"{hint} Choices: {', '.join(sorted(choices))}"


def check_fields(fields: Iterable[str], known: Sequence[str], of: str) -> None:
    """Raise UserError for a field that `of` does not have, with the nearest one."""
    for key in fields:
        if key not in known:
            raise UserError(f"the {of} has no field '{key}'{suggest(key, known)}")
