import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.optim import build_optim_wrapper
from timm.layers import LayerNorm2d
from torch import nn

from mae_core.encoders.vit import ViTEncoder
from mae_core.engine import optim  # noqa: F401  registers the constructor


class Model(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        sizes = {"img_size": 12, "patch_size": 6, "width": 16, "heads": 2}
        self.encoder = ViTEncoder(**sizes, depth=depth)
        self.head = nn.Linear(16, 3)


def groups(model: nn.Module, decay: float, **paramwise: bool) -> dict[str, tuple[float, float]]:
    """Rate and weight decay of each trained parameter by name."""
    wrapper = build_optim_wrapper(
        model,
        {
            "type": "OptimWrapper",
            "constructor": "LayerDecayConstructor",
            "optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.1},
            "paramwise_cfg": {"layer_decay": decay, **paramwise},
        },
    )
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in wrapper.param_groups
        for parameter in group["params"]
    }
    assert len(found) == sum(len(group["params"]) for group in wrapper.param_groups)
    return {n: found[id(p)] for n, p in model.named_parameters() if id(p) in found}


def test_rates_and_decays_are_those_computed_by_hand() -> None:
    model = Model(depth=2)
    assert "encoder.pos_embed" not in groups(model, 0.5)  # fixed, unless a task learns them
    model.encoder.pos_embed.requires_grad_(True)
    found = groups(model, 0.5)
    assert found["encoder.cls_token"] == found["encoder.pos_embed"] == (0.125, 0)
    assert found["encoder.patch_embed.proj.weight"] == (0.125, 0.1)
    assert found["encoder.patch_embed.proj.bias"] == (0.125, 0)
    assert found["encoder.blocks.0.attn.qkv.weight"] == (0.25, 0.1)
    assert found["encoder.blocks.0.norm1.weight"] == (0.25, 0)
    assert found["encoder.blocks.1.mlp.fc2.weight"] == (0.5, 0.1)
    assert found["encoder.blocks.1.mlp.fc2.bias"] == (0.5, 0)
    assert found["encoder.norm.weight"] == (1, 0)
    assert found["head.weight"] == (1, 0.1)
    assert found["head.bias"] == (1, 0)


def test_with_decay_of_vectors_only_norms_and_positions_are_spared() -> None:
    """detectron2's rule, written out; its norms over channels are none of PyTorch's classes."""
    model = Model(depth=1)
    model.encoder.pos_embed.requires_grad_(True)
    model.neck = nn.Sequential(nn.Conv2d(3, 3, 1), LayerNorm2d(3))
    found = groups(model, 1.0, decay_vectors=True)
    spared = {name for name, (_, decay) in found.items() if decay == 0}
    norms = {
        f"encoder.{n}.{part}"
        for n in ("blocks.0.norm1", "blocks.0.norm2", "norm")
        for part in ("weight", "bias")
    }
    assert spared == {"encoder.cls_token", "encoder.pos_embed", *norms}
    assert found["head.bias"] == (1, 0.1) and found["neck.1.weight"] == (1, 0.1)
    plain = groups(model, 1.0)
    assert plain["encoder.pos_embed"] == (1, 0) and plain["neck.1.weight"] == (1, 0)


@given(depth=st.integers(1, 12), decay=st.floats(0.3, 1))
def test_every_trained_parameter_is_in_one_group_and_depth_sets_its_rate(
    depth: int, decay: float
) -> None:
    with torch.device("meta"):
        model = Model(depth)
    found = groups(model, decay)
    assert found.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    assert "encoder.pos_embed" not in found
    for i in range(depth):
        rate, _ = found[f"encoder.blocks.{i}.attn.proj.weight"]
        assert rate == pytest.approx(decay ** (depth - i))
