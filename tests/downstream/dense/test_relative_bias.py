import pytest
import torch
from mmseg.models.backbones.beit import BEiTAttention
from torch import nn

from downstream.dense.backbone import MAEViT
from downstream.dense.relative_bias import bias_entries

FIELDS = {"arch": "vit-micro-p6", "width": 16, "depth": 2, "heads": 2, "img_size": 24}


def test_the_attention_is_mmsegmentations() -> None:
    torch.manual_seed(0)
    own = MAEViT(FIELDS, "random", [1], relative_bias=4).encoder.blocks[0].attn
    nn.init.normal_(own.bias_table)
    theirs = BEiTAttention(16, 2, (4, 4), bias=True)
    theirs.qkv, theirs.proj = own.qkv, own.proj
    theirs.relative_position_bias_table = own.bias_table
    own.grid = (4, 4)
    tokens = torch.randn(3, 17, 16)
    torch.testing.assert_close(own(tokens), theirs(tokens), atol=1e-5, rtol=1e-4)


def test_other_grids_take_the_same_distances() -> None:
    whole, part = (bias_entries(grid, 4, torch.device("cpu")) for grid in ((4, 4), (2, 3)))
    inside = torch.tensor([0, *(1 + 4 * row + column for row in range(2) for column in range(3))])
    assert torch.equal(part, whole[inside][:, inside])
    long = bias_entries((9, 1), 4, torch.device("cpu"))[1:, 1:]
    assert long[0, 8] == long[0, 3] and long[8, 0] == long[3, 0] != long[0, 3]


@pytest.mark.parametrize("size", [(24, 24), (12, 30)])
def test_biases_and_scales_begin_at_nothing(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    with_them = MAEViT(FIELDS, "random", [0, 1], relative_bias=4, layer_scale=True).eval()
    without = MAEViT(FIELDS, "random", [0, 1]).eval()
    found = without.load_state_dict(with_them.state_dict(), strict=False)
    assert found.missing_keys == []
    assert {key.rpartition(".")[2] for key in found.unexpected_keys} == {"bias_table", "gamma"}
    images = torch.randn(2, 3, *size)
    for one, other in zip(with_them(images), without(images), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_biases_and_scales_are_trained() -> None:
    backbone = MAEViT(FIELDS, "random", [0, 1], relative_bias=4, layer_scale=True)
    sum(out.square().sum() for out in backbone(torch.randn(2, 3, 24, 24))).backward()
    for name, parameter in backbone.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
