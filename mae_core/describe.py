"""What model a checkpoint holds, read from its metadata or else from its tensors' shapes."""

import os
from typing import Any

from mae_core.checkpoints import NOT_ENCODER, load_weights, read_layout
from mae_core.encoders.registry import restore_encoder
from mae_core.encoders.vit import ARCHITECTURES
from mae_core.errors import UserError
from mae_core.grids import image_size
from mae_core.layouts import StateDict
from mae_core.methods.mae import MAE, MAE_FIELDS
from mae_core.reading import VIT

IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}  # 0 to 255
HEADS = {512: 16} | {fields["width"]: fields["heads"] for fields in ARCHITECTURES.values()}


def load_mae(path: str | os.PathLike[str]) -> tuple[MAE, dict[str, Any]]:
    """A whole MAE from a checkpoint, and the `mean` and `std` of its pixels (0 to 255).

    Args:
        path: a `mae.safetensors`, or a foreign checkpoint with decoder. What the foreign file does
            not say is assumed: normalised pixel targets, ImageNet's mean and deviation.

    Raises:
        UserError: if there is no decoder in it, or a weight is missing.
    """
    _, state, _, metadata = read_layout(path)
    if not any(key.startswith("decoder.") for key in state):
        raise UserError(
            f"{path} holds an encoder without the decoder that predicts pixels: take the "
            "mae.safetensors that pretraining writes beside encoder.safetensors, or a published "
            "checkpoint with decoder (mae_visualize_vit_*, *_full)"
        )
    about = dict(metadata)
    if about.get("family", VIT) == VIT:
        about["encoder"] = encoder_fields(state, metadata)
    encoder = restore_encoder(about)
    fields = metadata.get("mae") or decoder_fields(state)
    if not isinstance(fields, dict) or not set(fields) <= set(MAE_FIELDS):
        raise UserError(f"{path} says of its decoder {fields}: expected {', '.join(MAE_FIELDS)}")
    mae = MAE(encoder, **fields)
    report = load_weights(mae, path)
    if report.missing:
        raise UserError(f"{path} lacks weights of its MAE: {', '.join(report.missing[:5])}")
    if odd := [key for key in report.unexpected if not key.startswith(NOT_ENCODER)]:
        raise UserError(f"{path} has weights that no MAE has here: {', '.join(odd[:5])}")
    return mae, metadata.get("pixels") or IMAGENET


def encoder_fields(
    state: StateDict,
    metadata: dict[str, Any] | None = None,
    img_size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Fields of :class:`mae_core.encoders.vit.ViTEncoder` for a state dict in our names.

    From `metadata` if that has them. Else the heads are those of the named architecture of the same
    width, and the images' size as :func:`mae_core.grids.image_size` finds it.

    Raises:
        UserError: if no architecture has this width, so that the heads cannot be known, nothing
            tells the images' size, or a weight is missing.
    """
    about = metadata or {}
    for key in ("patch_embed.proj.weight", "pos_embed", "blocks.0.mlp.fc1.weight"):
        if f"encoder.{key}" not in state:
            raise UserError(f"no weight 'encoder.{key}': this checkpoint has no whole encoder")
    size = image_size(state, about, img_size)
    if about.get("encoder"):
        return {**about["encoder"], "img_size": list(size)}
    width, in_chans, patch_size = state["encoder.patch_embed.proj.weight"].shape[:3]
    hidden = state["encoder.blocks.0.mlp.fc1.weight"].shape[0]
    return {
        "img_size": list(size),
        "patch_size": patch_size,
        "in_chans": in_chans,
        "width": width,
        "depth": depth_of(state, "encoder"),
        "heads": about.get("heads") or heads_of(width),
        "mlp_ratio": hidden / width,
    }


def decoder_fields(state: StateDict) -> dict[str, Any]:
    """The decoder's fields of :class:`MAE` for a state dict in our names."""
    width = state["decoder.mask_token"].shape[-1]
    return {
        "decoder_width": width,
        "decoder_depth": depth_of(state, "decoder"),
        "decoder_heads": heads_of(width),
    }


def depth_of(state: StateDict, part: str) -> int:
    """Number of blocks of 'encoder' or 'decoder'."""
    return len({key.split(".")[2] for key in state if key.startswith(f"{part}.blocks.")})


def heads_of(width: int) -> int:
    """Attention heads, which no shape tells: those of the published models of this width."""
    if width not in HEADS:
        raise UserError(
            f"the number of heads is not in the checkpoint, and no known model is {width} wide: "
            f"known are {', '.join(map(str, sorted(HEADS)))}"
        )
    return HEADS[width]
