import pytest
import torch
from torch import nn

from mae_core import create_model
from mae_core.engine.amp import BFloat16OptimWrapper
from mae_core.methods.mae import MAE


@pytest.fixture
def mae() -> MAE:
    torch.manual_seed(0)
    sizes = {"img_size": 24, "width": 32, "depth": 1, "heads": 2}
    return create_model("vit-micro-p6", **sizes, decoder_width=32, decoder_depth=1, decoder_heads=2)


def test_matrix_products_are_in_bfloat16_and_the_loss_in_float32(mae: MAE) -> None:
    seen = []
    mae.encoder.blocks[0].mlp.register_forward_hook(lambda m, x, out: seen.append(out.dtype))
    wrapper = BFloat16OptimWrapper(torch.optim.AdamW(mae.parameters(), lr=1e-3))
    images, noise = torch.randn(2, 3, 24, 24), torch.rand(2, 16)
    with wrapper.optim_context(mae):
        out = mae(images, noise)
    assert seen == [torch.bfloat16]
    assert out.loss.dtype == torch.float32
    wrapper.update_params(out.loss)
    assert {p.dtype for p in mae.parameters()} == {torch.float32}
    exact = mae(images, noise).loss
    assert abs(out.loss - exact) < 0.1 * exact


def test_images_of_huge_contrast_give_a_finite_loss(mae: MAE) -> None:
    """The squares of their pixels overflow float16, and bfloat16 would round their mean away."""
    images = torch.randn(2, 3, 24, 24) + 1000
    with torch.autocast("cpu", torch.bfloat16):
        target = mae.target(images.bfloat16().float())
    exact = mae.target(images.bfloat16().float())
    torch.testing.assert_close(target, exact)
    with torch.autocast("cpu", torch.bfloat16):
        assert mae(1e6 * images).loss.isfinite()


def test_gradients_accumulate_as_in_the_wrapper_of_mmengine() -> None:
    layer = nn.Linear(2, 1)
    wrapper = BFloat16OptimWrapper(torch.optim.SGD(layer.parameters(), 1.0), accumulative_counts=2)
    before = layer.weight.clone()
    for step in range(2):
        with wrapper.optim_context(layer):
            loss = layer(torch.ones(1, 2)).sum()
        wrapper.update_params(loss)
        assert torch.equal(layer.weight, before) == (step == 0)
    torch.testing.assert_close(layer.weight, before - 1)
