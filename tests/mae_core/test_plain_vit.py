from functools import partial

import pytest
import timm
import torch
from timm.layers import LayerNorm

from mae_core.plain_vit import to_plain_vit


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("vit_tiny_patch16_224", True),
        ("deit3_small_patch16_224", False),  # LayerScale
        ("vit_little_patch16_reg4_gap_256", False),  # no class token
        ("vit_base_patch32_clip_quickgelu_224", False),  # a norm before the blocks
        ("deit_tiny_distilled_patch16_224", False),  # a second token
        ("resnet18", False),
    ],
)
def test_only_a_plain_vit_passes_for_one(name: str, plain: bool) -> None:
    options = {} if name == "resnet18" else {"depth": 2}
    found = to_plain_vit(timm.create_model(name, num_classes=0, **options))
    assert (found is not None) is plain
    if found is not None:
        assert found.config["depth"] == 2 and found.config["img_size"] == [224, 224]


def test_what_has_no_key_is_seen_by_its_features() -> None:
    options = {"num_classes": 0, "depth": 2}
    for odd in ({"act_layer": "relu"}, {"norm_layer": partial(LayerNorm, eps=0.1)}):
        assert to_plain_vit(timm.create_model("vit_tiny_patch16_224", **options, **odd)) is None


def test_random_numbers_go_on_as_if_nothing_was_looked_at() -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=1)
    torch.manual_seed(0)
    expected = torch.rand(1)
    model_state = torch.manual_seed(0).get_state()
    assert to_plain_vit(model) is not None
    torch.set_rng_state(model_state)
    assert torch.equal(torch.rand(1), expected)
