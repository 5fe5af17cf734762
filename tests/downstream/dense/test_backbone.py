import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from torch import nn

from downstream.dense.backbone import MAEViT
from mae_core import UserError, create_encoder
from mae_core.checkpoints import save_weights
from mae_core.engine.optim import LayerDecayConstructor
from tests.downstream.conftest import TINY


def saved(path: Path, **fields: object) -> str:
    encoder = create_encoder(**{**TINY, "img_size": 24, **fields})
    save_weights(path, encoder, encoder=encoder.config)
    return str(path)


def test_the_backbone_computes_what_the_encoder_does(tmp_path: Path) -> None:
    source = saved(tmp_path / "encoder.safetensors")
    backbone = MAEViT({**TINY, "img_size": 24}, source, layers=[0, 1]).eval()
    encoder = create_encoder(**TINY, img_size=24).eval()
    encoder.load_state_dict(backbone.encoder.state_dict())
    images = torch.randn(2, 3, 24, 24)
    first, last = backbone(images)
    assert first.shape == last.shape == (2, 16, 4, 4)
    torch.testing.assert_close(last.flatten(2).transpose(1, 2), encoder(images)[:, 1:])


def test_a_checkpoint_of_224_pixels_gives_the_encoders_features(tmp_path: Path) -> None:
    fields = {"arch": "vit-tiny-p16", "depth": 3, "img_size": 224}
    encoder = create_encoder(**fields).eval()
    save_weights(tmp_path / "encoder.safetensors", encoder, encoder=encoder.config)
    backbone = MAEViT(fields, str(tmp_path / "encoder.safetensors"), [2]).eval()
    images = torch.randn(2, 3, 224, 224)
    found = backbone(images)[0].flatten(2).transpose(1, 2)
    torch.testing.assert_close(found, encoder(images)[:, 1:], atol=1e-5, rtol=0)


def test_weights_pretrained_at_another_size_all_arrive(tmp_path: Path) -> None:
    source = saved(tmp_path / "encoder.safetensors", img_size=30)
    one, other = (MAEViT({**TINY, "img_size": 30}, source, layers=[1]).eval() for _ in range(2))
    images = torch.randn(1, 3, 48, 36)
    assert one(images)[0].shape == (1, 16, 8, 6)
    assert torch.equal(one(images)[0], other(images)[0])


def test_a_file_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    source = saved(tmp_path / "shallow.safetensors", depth=1)
    with pytest.raises(UserError, match=r"shallow.*depth=1.*depth=2"):
        MAEViT({**TINY, "img_size": 24}, source, layers=[1])


def test_the_report_says_what_became_of_each_key(tmp_path: Path) -> None:
    source = saved(tmp_path / "encoder.safetensors", img_size=30)
    backbone = MAEViT({**TINY, "img_size": 24}, source, layers=[1])
    keys = len(backbone.encoder.state_dict())
    assert f"loaded {keys} keys, missing [], unexpected [], resized" in backbone.origin
    assert "pos_embed" in backbone.origin and source in backbone.origin
    assert "random" in MAEViT({**TINY, "img_size": 24}, "random", layers=[1]).origin


def test_initialising_a_detector_leaves_the_encoder_alone(tmp_path: Path) -> None:
    source = saved(tmp_path / "encoder.safetensors")
    backbone = MAEViT({**TINY, "img_size": 24}, source, [1], window=2, relative_grid=4)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    backbone.init_weights()
    assert all(torch.equal(before[key], value) for key, value in backbone.state_dict().items())


def test_no_weights_and_no_word_are_refused() -> None:
    with pytest.raises(TypeError, match="source"):
        MAEViT({**TINY, "img_size": 24}, layers=[1])  # type: ignore[call-arg]
    with pytest.raises(UserError, match="no checkpoint at nothing"):
        MAEViT({**TINY, "img_size": 24}, "nothing", layers=[1])


@pytest.mark.parametrize("field", ["layers", "global_blocks"])
def test_a_block_that_is_not_there_is_named(field: str) -> None:
    fields = {"layers": [1], "window": 2, field: [2]}
    with pytest.raises(UserError, match=r"block 2.*0 to 1"):
        MAEViT({**TINY, "img_size": 24}, "random", **fields)


def reference(backbone: MAEViT, images: torch.Tensor) -> torch.Tensor:
    """The last map by plain attention with a mask, written out."""
    encoder = backbone.encoder
    tokens = encoder.embed(images)[:, 1:]
    height, width = (side // encoder.patch_size for side in images.shape[-2:])
    rows = torch.arange(height).repeat_interleave(width)
    columns = torch.arange(width).repeat(height)
    size = backbone.window
    assert size is not None
    window = rows // size * 1000 + columns // size
    for i, block in enumerate(encoder.blocks):
        attention, normed = block.attn, block.norm1(tokens)
        n, length, _ = normed.shape
        q, k, v = attention.qkv(normed).view(n, length, 3, 2, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if attention.relative:
            reach = len(attention.rel_pos_h) // 2
            down = attention.rel_pos_h[rows[:, None] - rows[None] + reach]
            across = attention.rel_pos_w[columns[:, None] - columns[None] + reach]
            scores = scores + torch.einsum("nhqd,qkd->nhqk", q, down + across)
        if i in backbone.windowed:
            scores = scores.masked_fill(window[:, None] != window[None], -torch.inf)
        out = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, -1)
        tokens = tokens + attention.proj(out)
        tokens = tokens + block.mlp(block.norm2(tokens))
    return encoder.norm(tokens).transpose(1, 2).unflatten(2, (height, width))


def padded_attention(block: nn.Module, tokens: torch.Tensor, size: int) -> torch.Tensor:
    """A windowed block's attention as detectron2 computes it: on a grid filled up with zeros.

    (N, H, W, D) normalised tokens -> the same shape.
    """
    attention, (n, height, width, _) = block.attn, tokens.shape
    out = torch.zeros_like(tokens)
    filled = torch.zeros(n, height + size, width + size, tokens.shape[-1])
    filled[:, :height, :width] = tokens
    for top in range(0, height, size):
        for left in range(0, width, size):
            window = filled[:, top : top + size, left : left + size].flatten(1, 2)
            q, k, v = attention.qkv(window).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
            scores = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
            attended = attention.proj((scores @ v).transpose(1, 2).flatten(2))
            part = out[:, top : top + size, left : left + size]
            part += attended.unflatten(1, (size, size))[:, : part.shape[1], : part.shape[2]]
    return out


FIELDS = {"arch": "vit-micro-p6", "width": 16, "depth": 3, "heads": 2, "img_size": 24}


@given(
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    window=st.integers(1, 5),
    global_blocks=st.sets(st.integers(0, 2)),
)
@settings(max_examples=40, deadline=None)
def test_windows_are_plain_attention_with_a_mask(
    height: int, width: int, window: int, global_blocks: set[int]
) -> None:
    torch.manual_seed(0)
    backbone = MAEViT(FIELDS, "random", [2], window, sorted(global_blocks)).eval()
    images = torch.randn(2, 3, 6 * height, 6 * width)
    (found,) = backbone(images)
    torch.testing.assert_close(found, reference(backbone, images), atol=1e-5, rtol=1e-4)


@given(height=st.integers(1, 7), width=st.integers(1, 7), window=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_padded_windows_attend_to_the_padding_as_in_detectron2(
    height: int, width: int, window: int
) -> None:
    torch.manual_seed(0)
    backbone = MAEViT(FIELDS, "random", [2], window, final_norm=False, pad_windows=True).eval()
    images = torch.randn(2, 3, 6 * height, 6 * width)
    tokens = backbone.encoder.embed(images)[:, 1:].unflatten(1, (height, width))
    for block in backbone.encoder.blocks:
        tokens = tokens + padded_attention(block, block.norm1(tokens), window)
        tokens = tokens + block.mlp(block.norm2(tokens))
    torch.testing.assert_close(
        backbone(images)[0], tokens.permute(0, 3, 1, 2), atol=1e-5, rtol=1e-4
    )


def test_without_the_final_norm_the_map_is_what_the_last_block_left(tmp_path: Path) -> None:
    source = saved(tmp_path / "encoder.safetensors")
    fields = {**TINY, "img_size": 24}
    with_it, without = (MAEViT(fields, source, [1], final_norm=f).eval() for f in (True, False))
    assert "missing []" in without.origin  # the file has the norm's weights all the same
    images = torch.randn(2, 3, 30, 30)
    tokens = with_it.encoder.tokens(images)[:, 1:]
    expected = tokens.transpose(1, 2).unflatten(2, (5, 5))
    torch.testing.assert_close(without(images)[0], expected)
    assert not torch.allclose(with_it(images)[0], expected, atol=0.1)


def test_tiled_positions_are_the_same_in_a_crop_and_in_the_whole_image() -> None:
    backbone = MAEViT(FIELDS, "random", [2], window=4, tile_positions=True)  # a grid of 4 × 4
    table = backbone.encoder.pos_embed[0, 1:].view(4, 4, -1)
    whole = backbone.encoder._positions((9, 6))[0, 1:].view(9, 6, -1)
    for row in range(9):
        for column in range(6):
            assert torch.equal(whole[row, column], table[row % 4, column % 4])
    crop = backbone.encoder._positions((5, 5))[0, 1:].view(5, 5, -1)
    assert torch.equal(crop, whole[:5, :5])
    assert torch.equal(backbone.encoder._positions((4, 4)), backbone.encoder.pos_embed)


def test_relative_positions_are_the_direct_sum() -> None:
    torch.manual_seed(0)
    # The reference looks distances up in one table: every table is for the whole grid here.
    backbone = MAEViT(FIELDS, "random", [2], window=6, global_blocks=[1], relative_grid=6).eval()
    for block in backbone.encoder.blocks:
        torch.nn.init.normal_(block.attn.rel_pos_h)
        torch.nn.init.normal_(block.attn.rel_pos_w)
    images = torch.randn(2, 3, 36, 36)
    (found,) = backbone(images)
    torch.testing.assert_close(found, reference(backbone, images), atol=1e-5, rtol=1e-4)


def test_relative_positions_begin_at_nothing() -> None:
    torch.manual_seed(0)
    with_them = MAEViT(FIELDS, "random", [2], window=3, global_blocks=[1], relative_grid=4).eval()
    without = MAEViT(FIELDS, "random", [2], window=3, global_blocks=[1]).eval()
    missing = without.load_state_dict(with_them.state_dict(), strict=False)
    assert missing.missing_keys == [] and all("rel_pos" in k for k in missing.unexpected_keys)
    images = torch.randn(1, 3, 24, 42)
    torch.testing.assert_close(with_them(images)[0], without(images)[0], atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_weight_through_forgotten_activations() -> None:
    torch.manual_seed(0)
    fields = {"window": 3, "global_blocks": [1], "relative_grid": 4}
    plain, forgetful = (MAEViT(FIELDS, "random", [2], **fields) for _ in range(2))
    forgetful.load_state_dict(plain.state_dict())
    turn_on_activation_checkpointing(forgetful, [f"encoder.blocks.{i}" for i in range(3)])
    images = torch.randn(1, 3, 24, 30)
    for backbone in (plain, forgetful):
        backbone(images)[0].square().sum().backward()
    for (name, one), other in zip(plain.named_parameters(), forgetful.parameters(), strict=True):
        if one.requires_grad:
            assert one.grad is not None and other.grad is not None, name
            torch.testing.assert_close(one.grad, other.grad)


def test_weights_for_another_patch_are_resampled_when_asked(tmp_path: Path) -> None:
    source = saved(tmp_path / "encoder.safetensors", patch_size=6)
    fields = {**TINY, "img_size": 32, "patch_size": 8}
    with pytest.raises(UserError, match=r"patch_size=6.*patch_size=8"):
        MAEViT(fields, source, [1])
    backbone = MAEViT(fields, source, [1], resample_patches=True).eval()
    assert "patch_embed.proj.weight" in backbone.origin
    old = MAEViT({**TINY, "img_size": 24}, source, [1]).eval()
    smooth = torch.linspace(-1, 1, 24).view(1, 1, 1, 24).expand(1, 3, 24, 24)
    large = torch.nn.functional.interpolate(smooth, size=(32, 32), mode="bilinear")
    torch.testing.assert_close(backbone(large)[0], old(smooth)[0], atol=0.2, rtol=0.2)


def test_every_layer_has_its_own_rate() -> None:
    """Embedding, three blocks with their relative positions, and the rest."""
    model = nn.Module()
    options = {"window": 3, "global_blocks": [1], "relative_grid": 4, "train_positions": True}
    model.backbone = MAEViT(FIELDS, "random", [2], **options)
    model.head = nn.Linear(2, 2)
    wrapper = {"optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.1}}
    optimizer = LayerDecayConstructor(wrapper, {"layer_decay": 0.5})(model).optimizer
    rates = {
        id(parameter): group["lr"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        block = re.search(r"blocks\.(\d)\.", name)
        embedding = re.search(r"\.(patch_embed|cls_token|pos_embed)", name)
        layer = int(block[1]) + 1 if block else 0 if embedding else 4
        assert rates[id(parameter)] == pytest.approx(0.5 ** (4 - layer)), name


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"window": 2, "global_blocks": [1]},
        {"window": 2, "relative_grid": 4},
        {"final_norm": False, "train_positions": True},
        {"window": 3, "final_norm": False, "train_positions": True, "pad_windows": True},
    ],
)
@pytest.mark.parametrize("layers", [[0], [1], [0, 2]])
def test_every_weight_that_is_trained_gets_a_gradient(layers: list[int], options: dict) -> None:
    backbone = MAEViT(FIELDS, "random", layers, **options)
    sum(out.square().sum() for out in backbone(torch.randn(1, 3, 24, 24))).backward()
    for name, parameter in backbone.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_a_frozen_encoder_stays_as_it_is() -> None:
    backbone = MAEViT({**FIELDS, "drop_path": 0.5}, "random", [2], frozen=True).train()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    images = torch.randn(1, 3, 24, 24)
    assert torch.equal(backbone(images)[0], backbone(images)[0])
