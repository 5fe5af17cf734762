import torch

from downstream.analysis.attention import attention, class_attention
from mae_core.models import create_encoder


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
    found = class_attention(encoder, images)
    assert found.shape == (2, 3, 5, 3)
    torch.testing.assert_close(found.flatten(2), weights[:, :, 0, 1:])
    assert not encoder.blocks[-1].attn._forward_pre_hooks
