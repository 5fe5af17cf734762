"""timm's plain ViTs as encoders of our own family, whose weights have the same names."""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from mae_core.encoders.vit import ViTEncoder

TOLERANCE = 1e-3  # between timm's features and ours, in units of their deviation
NEEDED = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")


def to_plain_vit(model: nn.Module) -> ViTEncoder | None:
    """timm's model as our encoder; None unless it is a plain ViT with a class token.

    That has the same weights by name and shape, and gives the same tokens: an activation or a
    norm's epsilon has no key to miss.
    """
    state = model.state_dict()
    if not isinstance(model, VisionTransformer) or any(key not in state for key in NEEDED):
        return None
    first: Any = model.blocks[0]
    width, in_chans, *patch = state["patch_embed.proj.weight"].shape
    if patch[0] != patch[1]:
        return None
    fields: dict[str, Any] = {
        "img_size": list(model.patch_embed.img_size),
        "patch_size": patch[0],
        "in_chans": in_chans,
        "width": width,
        "depth": len(model.blocks),
        "heads": first.attn.num_heads,
        "mlp_ratio": len(state["blocks.0.mlp.fc1.weight"]) / width,
    }
    encoder = ViTEncoder(**fields)
    if shapes(state) != shapes(encoder.state_dict()):
        return None
    encoder.load_state_dict(state)
    return encoder if difference(model, encoder) <= TOLERANCE else None


def shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    """The shape of each tensor by its name."""
    return {key: value.shape for key, value in state.items()}


@torch.no_grad()
def difference(model: VisionTransformer, encoder: ViTEncoder) -> float:
    """The largest between both's tokens of a random image, in deviations of timm's."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, encoder.config["in_chans"], *encoder.img_size, generator=generator)
    theirs: Tensor = model.eval().forward_features(images)
    return float((encoder.eval()(images) - theirs).abs().max() / theirs.std())
