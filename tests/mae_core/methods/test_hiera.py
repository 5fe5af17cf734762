from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import HieraConfig, HieraForPreTraining

from mae_core import UserError, create_encoder
from mae_core.input_sizes import check_sizes_of, phases_of
from mae_core.methods import create_method
from mae_core.methods.cost import flops_an_image
from mae_core.methods.hiera import HieraMAE
from mae_core.methods.masked_units import patches_of
from mae_core.patches import patchify
from tests.families import SMALL_HIERA
from tests.ramps import loss_of_ramps

FIELDS = {"decoder_width": 16, "decoder_depth": 2, "decoder_heads": 4}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def model(size: Any = 32, q_pool: int = 3, **fields: Any) -> HieraMAE:
    options = {**SMALL_HIERA, "q_pool": q_pool}
    encoder = create_encoder("timm:hiera_tiny_224", img_size=size, options=options)
    found = create_method("hiera", encoder, **{**FIELDS, **fields})
    assert isinstance(found, HieraMAE)
    return found


def test_published_sizes_are_the_defaults() -> None:
    with torch.device("meta"):
        method = create_method("hiera", create_encoder("timm:hiera_tiny_224"))
    assert isinstance(method, HieraMAE)
    assert (method.grid, method.square, method.patch_size) == ((7, 7), 32, 32)
    assert method.config == {
        "mask_ratio": 0.6,
        "norm_pix_loss": True,
        "decoder_width": 512,
        "decoder_depth": 8,
        "decoder_heads": 16,
    }


@pytest.mark.parametrize("q_pool", [2, 3])
def test_the_strides_are_those_of_the_maps(q_pool: int) -> None:
    encoder = model(q_pool=q_pool).encoder
    images = torch.randn(2, 3, 32, 32)
    maps = encoder.feature_maps(images, range(len(encoder.strides)))
    assert [32 // one.shape[-1] for one in maps] == list(encoder.strides)


@pytest.mark.parametrize("q_pool", [2, 3])
@pytest.mark.parametrize("normalised", [True, False])
def test_loss_and_predictions_are_those_of_transformers(q_pool: int, normalised: bool) -> None:
    """An independent implementation with the same weights, at four patches or one a unit."""
    method = model(q_pool=q_pool, norm_pix_loss=normalised).eval()
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    reference = HieraForPreTraining(
        HieraConfig(
            embed_dim=8,
            image_size=[32, 32],
            patch_size=[3, 3],
            patch_stride=[1, 1],
            patch_padding=[1, 1],
            depths=[1, 1, 2, 1],
            num_heads=[1, 2, 4, 8],
            num_query_pool=q_pool,
            decoder_hidden_size=16,
            decoder_depth=2,
            decoder_num_heads=4,
            mask_ratio=0.6,
            normalize_pixel_loss=normalised,
            layer_norm_eps=1e-6,
        )
    ).eval()
    state = {theirs(key): value for key, value in method.state_dict().items()}
    for kind in ("weight", "bias"):  # of features that are classified
        del state[f"encoder.model.head.norm.{kind}"]
    for key in [key for key in state if "multi_scale_fusion_heads" in key and "weight" in key]:
        stage = int(key.split(".")[-2])
        width, side = 8 * 2**stage, method.decoder.fusion.cells[stage]
        state[key] = state[key].unflatten(1, (side, side, width)).permute(0, 3, 1, 2)
    order = torch.arange(3 * method.patch_size**2)
    order = order.unflatten(0, (method.patch_size, method.patch_size, 3)).permute(2, 0, 1)
    for kind in ("weight", "bias"):  # theirs has the channel first
        key = f"decoder.decoder_pred.{kind}"
        state[key] = state[key][order.flatten()]
    reference.load_state_dict(state)
    images, noise = torch.randn(3, 3, 32, 32), torch.rand(3, 16)
    with torch.no_grad():
        ours, out = method(images, noise), reference(images, noise=noise)
        pred = out.logits.unflatten(2, (3, -1)).transpose(2, 3).flatten(2)
    torch.testing.assert_close(ours.pred, pred, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.loss, out.loss, atol=1e-5, rtol=1e-5)


def theirs(key: str) -> str:
    """transformers' name of a parameter of ours."""
    for ours, name in (
        ("encoder.model.patch_embed.proj", "hiera.embeddings.patch_embeddings.projection"),
        ("encoder.model.pos_embed", "hiera.embeddings.position_embeddings"),
        ("decoder.fusion.project.", "multiscale_fusion.multi_scale_fusion_heads."),
        ("decoder.fusion.norm", "encoder_norm"),
        ("decoder.embed", "decoder.decoder_embeddings"),
        ("decoder.pos_embed", "decoder.decoder_position_embeddings"),
        ("decoder.blocks.", "decoder.decoder_block.layers."),
        ("decoder.norm", "decoder.decoder_norm"),
        ("decoder.pred", "decoder.decoder_pred"),
    ):
        key = key.replace(ours, name)
    starts = {0: (0, 0), 1: (1, 0), 2: (2, 0), 3: (2, 1), 4: (3, 0)}  # depths 1, 1, 2, 1
    if key.startswith("encoder.model.blocks."):
        number, rest = key.removeprefix("encoder.model.blocks.").split(".", 1)
        stage, layer = starts[int(number)]
        key = f"hiera.encoder.stages.{stage}.layers.{layer}.{rest}"
    for ours, name in (
        ("norm1", "layernorm_before"),
        ("norm2", "layernorm_after"),
    ):
        key = key.replace(ours, name)
    return key


def test_no_masked_pixel_is_seen() -> None:
    method = model(q_pool=2).eval()
    images, noise = torch.randn(2, 3, 32, 32), torch.rand(2, 16)
    out = method(images, noise)
    hidden = out.mask.unflatten(1, (4, 4)).repeat_interleave(8, 1).repeat_interleave(8, 2).bool()
    others = torch.where(hidden.unsqueeze(1), torch.randn_like(images), images)
    assert not torch.equal(images, others)
    assert torch.equal(method(others, noise).pred, out.pred)


def test_an_image_does_not_depend_on_those_beside_it() -> None:
    method = model().eval()
    images, noise = torch.randn(3, 3, 32, 32), torch.rand(3, 16)
    alone, together = method(images[1:2], noise[1:2]), method(images, noise)
    torch.testing.assert_close(alone.pred[0], together.pred[1], atol=1e-5, rtol=1e-4)


def test_all_but_timms_last_norm_is_trained() -> None:
    method = model(q_pool=2)
    method(torch.randn(2, 3, 32, 32), torch.rand(2, 16)).loss.backward()
    left = {name for name, p in method.named_parameters() if p.requires_grad and p.grad is None}
    assert left == {"encoder.model.head.norm.weight", "encoder.model.head.norm.bias"}


def test_a_units_patches_are_those_of_its_square() -> None:
    images = torch.arange(16 * 24.0).reshape(1, 1, 16, 24)
    units: Tensor = torch.tensor([[4, 0]])
    found = patchify(images, 4)[0, patches_of(units, columns=3, side=2)[0]]
    expected = patchify(images, 8)[0, [4, 0]]
    assert torch.equal(found.flatten().sort().values, expected.flatten().sort().values)
    assert torch.equal(patches_of(units, columns=3, side=1), units)


@pytest.mark.parametrize(
    ("arch", "fields", "said"),
    [
        ("vit-base-p16", {}, "is for Hiera"),
        ("timm:convnextv2_atto", {}, "timm:hiera_tiny_224"),
        ("timm:hiera_tiny_224", {"decoder_heads": 3}, "3 decoder heads do not divide"),
        ("timm:hiera_tiny_224", {"mask_ratio": 0.99}, "leaves 0 of 49 patches visible"),
        ("timm:hiera_tiny_224", {"mask_ratio": "0.5"}, "expected a number"),
    ],
)
def test_what_does_not_go_together_is_told(arch: str, fields: Any, said: str) -> None:
    with torch.device("meta"):
        encoder = create_encoder(arch)
        with pytest.raises(UserError, match=said):
            create_method("hiera", encoder, **fields)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"mask_unit_size": [4, 4]}, r"needs mask units of 8×8 tokens, found .*\[4, 4\]"),
        ({"q_stride": [2, 1]}, r"needs squares, found encoder\.options\.q_stride=\[2, 1\]"),
        ({"patch_stride": [2, 1]}, r"needs squares, found .*patch_stride=\[2, 1\]"),
        ({"stages": [1, 0, 1, 1]}, r"a block or more in each stage"),
        ({"q_pool": -1}, r"0 to 3 poolings, found .*q_pool=-1"),
    ],
)
def test_units_that_timm_does_not_keep_together_are_refused(odd: Any, said: str) -> None:
    with torch.device("meta"):
        encoder = create_encoder("timm:hiera_tiny_224", img_size=32, options={**SMALL_HIERA, **odd})
        with pytest.raises(UserError, match=said):
            create_method("hiera", encoder)


def test_images_of_another_size_are_refused_before_training() -> None:
    with torch.device("meta"):
        method = model()
    phases = phases_of({"input_sizes": ((0.0, 16), (0.5, 32))}, (32, 32))
    with pytest.raises(UserError, match="16×16 pixels: a Hiera takes images of one size"):
        check_sizes_of(method, phases)


def test_a_block_of_the_decoder_costs_what_its_products_cost() -> None:
    costs = [flops_an_image(lambda d=depth: model(decoder_depth=d), (32, 32)) for depth in (1, 2)]
    places, width = 16, 16
    linear, attention = 24 * places * width**2, 4 * places**2 * width
    assert costs[1] - costs[0] == 3 * (linear + attention)


def test_it_learns_what_is_behind_the_masks() -> None:
    """Images of one gradient, whose direction tells the visible units and the masked ones."""
    method = model(mask_ratio=0.5)
    assert loss_of_ramps(method) < 0.3  # 1 without a look at the images


def test_it_trains_in_bfloat16_and_compiled() -> None:
    method, images = model(q_pool=2), torch.randn(2, 3, 32, 32)
    full = method.losses(images, torch.arange(2))["loss"]
    method.compile(backend="eager")
    torch.testing.assert_close(method.losses(images, torch.arange(2))["loss"], full)
    with torch.autocast("cpu", torch.bfloat16):
        loss = method.losses(images, torch.arange(2))["loss"]
    loss.backward()
    torch.testing.assert_close(loss, full, atol=0.05, rtol=0)
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())
