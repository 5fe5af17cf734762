from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mae_core import UserError, create_encoder
from mae_core.encoders.vit import ViTEncoder, attention, pool_tokens


def encoder(**fields: object) -> ViTEncoder:
    return create_encoder("vit-micro-p6", img_size=24, depth=2, **fields).eval()


def test_tokens_of_visible_patches_do_not_depend_on_hidden_ones() -> None:
    model, images = encoder(), torch.randn(1, 3, 24, 24)
    keep = torch.tensor([[0, 5]])
    changed = images.clone()
    changed[..., 12:, 12:] = 9.0  # patches 10, 11, 14, 15
    assert torch.equal(model(images, keep), model(changed, keep))
    assert model(images, keep).shape == (1, 3, 96)


def test_keeping_every_patch_in_another_order_only_reorders_the_tokens() -> None:
    model, images = encoder(), torch.randn(2, 3, 24, 24)
    order = torch.randperm(16).expand(2, -1)
    tokens, reordered = model(images), model(images, order)
    torch.testing.assert_close(reordered[:, 1:], tokens[:, 1:][:, order[0]], atol=1e-5, rtol=1e-5)


def test_the_linear_embedding_is_the_convolution() -> None:
    model, images = encoder(), torch.randn(2, 3, 24, 24)
    positions = model.pos_embed
    expected = model.patch_embed(images) + positions[:, 1:]
    embedded = model.embed(images)
    torch.testing.assert_close(embedded[:, 1:], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        embedded[:, :1], (model.cls_token + positions[:, :1]).expand(2, -1, -1)
    )


def test_the_last_feature_map_holds_the_tokens() -> None:
    model, images = encoder(), torch.randn(2, 3, 24, 24)
    (last,) = model.feature_maps(images, [1])
    assert last.shape == (2, 96, 4, 4)
    torch.testing.assert_close(last.flatten(2).transpose(1, 2), model(images)[:, 1:])


def test_another_image_size_resamples_the_positions() -> None:
    model = encoder()
    maps = model.feature_maps(torch.randn(1, 3, 48, 36), [0, 1])
    assert [m.shape for m in maps] == [(1, 96, 8, 6)] * 2


def test_drop_path_grows_with_depth_and_the_sizes_of_the_paper_hold() -> None:
    base = create_encoder("vit-base-p16", drop_path=0.1)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in base.blocks]
    assert rates == sorted(rates)
    assert rates[0] == 0.0
    assert abs(rates[-1] - 0.1) < 1e-9
    assert sum(p.numel() for p in base.parameters()) == 85_798_656  # ViT-B/16 without a head


SIZES = {"img_size": 24, "patch_size": 6, "in_chans": 3, "width": 32, "depth": 1, "heads": 2}
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers() | st.text(max_size=2) | st.floats(), max_size=3)
)


@given(
    change=st.dictionaries(
        st.sampled_from([*SIZES, "mlp_ratio", "drop_path"]), ANYTHING, min_size=1, max_size=2
    )
)
@settings(max_examples=150, deadline=None)
def test_sizes_that_make_no_encoder_are_the_users_mistake(change: dict[str, Any]) -> None:
    try:
        with torch.device("meta"):
            encoder = ViTEncoder(**{**SIZES, **change})
    except UserError:
        return
    assert encoder.grid[0] * encoder.grid[1] > 0


@pytest.mark.parametrize(
    "change",
    [
        *({"depth": 10**9}, {"width": 0}, {"heads": -1}, {"patch_size": True}, {"img_size": [24]}),
        *({"img_size": 1 << 16, "patch_size": 1}, {"mlp_ratio": 0}, {"drop_path": 1.0}),
    ],
)
def test_sizes_out_of_bounds_are_named(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"{next(iter(change))}=|patches: at most"):
        ViTEncoder(**{**SIZES, **change})


def test_weights_times_values_are_what_the_block_computes() -> None:
    torch.manual_seed(0)
    layer = create_encoder("vit-micro-p6", img_size=30).blocks[0].attn
    tokens = torch.randn(3, 26, 96)
    values = layer.qkv(tokens).unflatten(-1, (3, 3, 32))[:, :, 2].transpose(1, 2)
    mixed = (attention(layer, tokens) @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer.proj(mixed), layer(tokens))


def test_the_class_token_attends_to_the_patches_of_the_last_block() -> None:
    torch.manual_seed(0)
    encoder = create_encoder("vit-micro-p6", img_size=30).eval()
    images = torch.randn(2, 3, 30, 18)
    tokens = encoder.embed(images)
    for block in encoder.blocks[:-1]:
        tokens = block(tokens)
    weights = attention(encoder.blocks[-1].attn, encoder.blocks[-1].norm1(tokens))
    found = encoder.class_attention(images)
    assert found.shape == (2, 3, 5, 3)
    torch.testing.assert_close(found.flatten(2), weights[:, :, 0, 1:])
    assert not encoder.blocks[-1].attn._forward_pre_hooks


def test_pooling_takes_the_patches_or_the_class_token() -> None:
    tokens = torch.randn(2, 5, 3)
    torch.testing.assert_close(pool_tokens(tokens, "avg"), tokens[:, 1:].sum(1) / 4)
    assert torch.equal(pool_tokens(tokens, "cls"), tokens[:, 0])
    assert torch.equal(pool_tokens(tokens, "own"), tokens[:, 0])
    both = [pool_tokens(tokens, "cls"), pool_tokens(tokens, "avg")]
    assert torch.equal(pool_tokens(tokens, "cls+avg"), torch.cat(both, dim=1))


def test_the_last_blocks_are_dinov2s_linear_input() -> None:
    """By hooks on the blocks: their class tokens, then the mean of the last one's patches."""
    encoder = create_encoder("vit-micro-p6", width=16, depth=4, heads=2, img_size=12).eval()
    seen: list[torch.Tensor] = []
    for block in encoder.blocks:
        block.register_forward_hook(lambda module, given, out: seen.append(out))
    images = torch.randn(3, 3, 12, 12)
    with torch.inference_mode():
        found = encoder.pooled(images, "last3")
        normed = [encoder.norm(tokens) for tokens in seen]
        expected = [*(tokens[:, 0] for tokens in normed[-3:]), normed[-1][:, 1:].mean(dim=1)]
        torch.testing.assert_close(found, torch.cat(expected, dim=1))
        torch.testing.assert_close(encoder.pooled(images, "avg"), expected[-1])
        torch.testing.assert_close(encoder.pooled(images, "cls"), expected[-2])


@pytest.mark.parametrize("pool", ["avg", "cls", "cls+avg", "own"])
def test_a_layer_is_its_blocks_tokens_after_the_final_norm(pool: str) -> None:
    encoder = create_encoder("vit-micro-p6", width=16, depth=3, heads=2, img_size=12).eval()
    torch.nn.init.normal_(encoder.norm.weight)
    seen: list[torch.Tensor] = []
    for block in encoder.blocks:
        block.register_forward_hook(lambda module, given, out: seen.append(out))
    images = torch.randn(3, 3, 12, 12)
    with torch.inference_mode():
        last = encoder.pooled(images, pool)
        layers = [pool_tokens(encoder.norm(tokens), pool) for tokens in seen]
        for number, expected in enumerate(layers):
            assert torch.equal(encoder.pooled(images, pool, layer=number), expected)
            assert expected.shape[1] == encoder.pooled_width(pool, number)
        seen.clear()
        together = encoder.pooled_layers(images, pool)
        assert len(seen) == 3  # in one pass
    assert torch.equal(layers[-1], last) and not torch.allclose(layers[0], last)
    for found, expected in zip(together, layers, strict=True):
        assert torch.equal(found, expected)


def test_the_average_may_be_normed_after_the_pooling() -> None:
    encoder = create_encoder("vit-micro-p6", width=16, depth=2, heads=2, img_size=12).eval()
    images = torch.randn(3, 3, 12, 12)
    with torch.inference_mode():
        expected = encoder.norm(encoder.tokens(images)[:, 1:].mean(dim=1))
        assert torch.equal(encoder.pooled(images, "avg", norm_last=True), expected)
        both = encoder.pooled(images, "cls+avg")
        assert torch.equal(encoder.pooled(images, "cls+avg", norm_last=True), both)


@pytest.mark.parametrize(
    ("pool", "layer", "message"),
    [
        ("avg", 2, "layer=2: the encoder has layers 0 to 1"),
        ("avg", -1, "layer=-1"),
        ("avg", True, "layer=True"),
        ("avg", "bset", "layer='bset'"),
        ("last2", 0, "pool='last2' takes the last blocks, layer=0 another one"),
    ],
)
def test_a_layer_that_is_none_is_the_users_mistake(pool: str, layer: Any, message: str) -> None:
    encoder = create_encoder("vit-micro-p6", width=16, depth=2, heads=2, img_size=12)
    with pytest.raises(UserError, match=message):
        encoder.pooled_width(pool, layer)
