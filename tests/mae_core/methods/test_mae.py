import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from mae_core import UserError, create_model
from mae_core.data.normalize import Normalize
from mae_core.masking import STRATEGIES, mask_patches
from mae_core.methods.mae import MAE, OBJECTIVES, random_part, reconstruct
from mae_core.methods.masked_pixels import MASK_GREY
from mae_core.noise import uniform
from mae_core.patches import gather_patches, patchify, unpatchify

SIZES = {"img_size": 32, "patch_size": 8, "width": 48, "depth": 2, "heads": 4}
PAPERS = ("vit-base-p16", "vit-large-p16", "vit-huge-p14")
NORMALIZE = Normalize([120.0] * 3, [60.0] * 3)
PATCH = SIZES["patch_size"]
DECODER = {"decoder_width": 24, "decoder_depth": 2, "decoder_heads": 3}


def model(**fields: object) -> MAE:
    return create_model("vit-micro-p6", **{**SIZES, **DECODER, **fields})


def reference(ours: MAE) -> ViTMAEForPreTraining:
    """The independent implementation in transformers, of the same sizes, without weights."""
    encoder, decoder = ours.encoder.config, ours.config
    config = ViTMAEConfig(
        hidden_size=encoder["width"],
        num_hidden_layers=encoder["depth"],
        num_attention_heads=encoder["heads"],
        intermediate_size=4 * encoder["width"],
        image_size=encoder["img_size"][0],
        patch_size=encoder["patch_size"],
        decoder_hidden_size=decoder["decoder_width"],
        decoder_num_hidden_layers=decoder["decoder_depth"],
        decoder_num_attention_heads=decoder["decoder_heads"],
        decoder_intermediate_size=4 * decoder["decoder_width"],
        norm_pix_loss=decoder["norm_pix_loss"],
        layer_norm_eps=1e-6,
        attn_implementation="eager",
    )
    with torch.device("meta"):
        return ViTMAEForPreTraining(config)


def to_reference(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our keys in transformers' names."""
    renamed = {}
    for key, value in state.items():
        for ours, theirs in NAMES.items():
            key = re.sub(ours, theirs, key)
        if ".qkv." in key:
            for part, name in zip(value.chunk(3), "qkv", strict=True):
                renamed[key.replace("qkv", f"{name}_proj")] = part
        else:
            renamed[key] = value
    return renamed


NAMES = {
    r"^encoder\.(cls_token)": r"vit.embeddings.\1",
    r"^encoder\.pos_embed": "vit.embeddings.position_embeddings",
    r"^encoder\.patch_embed\.proj": "vit.embeddings.patch_embeddings.projection",
    r"^encoder\.norm": "vit.layernorm",
    r"^encoder\.blocks": "vit.layers",
    r"^decoder\.blocks": "decoder.decoder_layers",
    r"^decoder\.(embed|pos_embed|norm|pred)": r"decoder.decoder_\1",
    r"norm1": "layernorm_before",
    r"norm2": "layernorm_after",
    r"attn\.proj": "attention.o_proj",
    r"attn\.qkv": "attention.qkv",
}


def compare(ours: MAE, images: Tensor) -> None:
    """Loss, prediction, mask and every gradient, normalised and raw, equal within 1e-5."""
    theirs = reference(ours)
    theirs.load_state_dict(to_reference(ours.state_dict()), assign=True)
    noise = torch.rand(len(images), ours.encoder.grid[0] * ours.encoder.grid[1])
    for norm_pix_loss in (True, False):
        ours.norm_pix_loss = theirs.config.norm_pix_loss = norm_pix_loss
        out, expected = ours(images, noise), theirs(images, noise=noise)
        close = {"atol": 1e-5, "rtol": 1e-5}
        torch.testing.assert_close(out.mask, expected.mask)
        torch.testing.assert_close(out.pred, expected.logits, **close)
        torch.testing.assert_close(out.loss, expected.loss, **close)
        ours.zero_grad()
        theirs.zero_grad()
        out.loss.backward()
        expected.loss.backward()
        grads = {k: p.grad for k, p in ours.named_parameters() if p.grad is not None}
        renamed = to_reference(grads)
        assert renamed.keys() == {k for k, p in theirs.named_parameters() if p.grad is not None}
        for key, parameter in theirs.named_parameters():
            if key in renamed:
                torch.testing.assert_close(renamed[key], parameter.grad, **close, msg=key)


def test_equals_the_independent_implementation() -> None:
    compare(model(), torch.randn(3, 3, 32, 32))


@pytest.mark.parametrize("arch", PAPERS)
def test_the_papers_models_have_the_weights_of_the_independent_implementation(arch: str) -> None:
    with torch.device("meta"):
        ours = create_model(arch)
    found = to_reference(ours.state_dict())
    expected = reference(ours).state_dict()
    assert {key: value.shape for key, value in found.items()} == {
        key: value.shape for key, value in expected.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("arch", PAPERS)
def test_the_papers_blocks_equal_the_independent_implementation(arch: str) -> None:
    """Two blocks of each kind, of which the whole models have more: base has all of them."""
    few = {} if arch == "vit-base-p16" else {"depth": 2, "decoder_depth": 2}
    compare(create_model(arch, **few), torch.randn(1, 3, 224, 224))


@given(
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    channels=st.integers(1, 5),
    ratio=st.floats(0, 0.9),
    masking=st.sampled_from(sorted(STRATEGIES)),
    objective=st.sampled_from(sorted(OBJECTIVES)),
    norm_pix_loss=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_the_loss_is_that_of_masked_patches_for_every_combination(
    height: int,
    width: int,
    channels: int,
    ratio: float,
    masking: str,
    objective: str,
    norm_pix_loss: bool,
) -> None:
    length = height * width
    if int(length * (1 - ratio)) == 0:
        return
    mae = model(
        img_size=(8 * height, 8 * width),
        in_chans=channels,
        mask_ratio=ratio,
        masking=masking,
        objective=objective,
        norm_pix_loss=norm_pix_loss,
    ).eval()
    images = torch.randn(2, channels, 8 * height, 8 * width)
    out = mae(images)
    assert out.pred.shape == (2, length, 64 * channels)
    difference = (out.pred - mae.target(images)).abs()
    error = {
        "mse": difference**2,
        "smooth_l1": torch.where(difference < 1, difference**2 / 2, difference - 0.5),
    }[objective]
    scored = out.mask.bool() if out.mask.any() else torch.ones_like(out.mask, dtype=torch.bool)
    torch.testing.assert_close(out.loss, error[scored].mean(), atol=1e-5, rtol=1e-5)


def test_visible_pixels_change_the_loss_only_through_the_encoder() -> None:
    mae = model(norm_pix_loss=False).eval()
    images, noise = torch.randn(2, 3, 32, 32), torch.rand(2, 16)
    out = mae(images, noise)
    error = (out.pred - mae.target(images)).square().mean(dim=-1)
    assert torch.allclose(out.loss, error[out.mask.bool()].mean())
    mae.decoder.pred.weight.data.zero_()  # the encoder has no say any more
    visible = unpatchify((1 - out.mask).unsqueeze(-1).expand(-1, -1, 192), 8, 32, 32).bool()
    changed = torch.where(visible, torch.randn_like(images), images)
    torch.testing.assert_close(mae(changed, noise).loss, mae(images, noise).loss)


def test_a_part_of_the_masked_patches_is_decoded_in_training_and_all_in_evaluation() -> None:
    mae, images = model(decode_ratio=0.25), torch.randn(4, 3, 32, 32)
    out = mae(images, torch.rand(4, 16))
    decoded = out.pred.abs().sum(dim=-1) > 0
    assert (decoded & out.mask.bool()).sum(dim=1).tolist() == [3] * 4  # of 12 masked
    assert (decoded & ~out.mask.bool()).sum(dim=1).tolist() == [4] * 4
    error = (out.pred - mae.target(images)).square().mean(dim=-1)
    torch.testing.assert_close(out.loss, error[decoded & out.mask.bool()].mean())
    assert (mae.eval()(images).pred.abs().sum(dim=-1) > 0).all()


def test_decoding_a_part_leaves_the_expected_loss_alone_but_for_what_attention_sees() -> None:
    """With a decoder whose attention is off, the parts' losses average to that of all."""
    mae, images = model(), torch.randn(2, 3, 32, 32)
    for block in mae.decoder.blocks:
        block.attn.proj.weight.data.zero_()
    noise = torch.rand(2, 16).argsort(dim=1) / 16
    whole = mae(images, noise).loss
    mae.decode_ratio = 0.5
    other_low_bits = (noise + torch.rand(2, 16) / 4096 for _ in range(400))
    parts = torch.stack([mae(images, drawn).loss for drawn in other_low_bits])
    assert abs(parts.mean() - whole) < 4 * parts.std() / 20


@pytest.mark.parametrize("strategy", ["random", "block", "grid"])
def test_each_masked_patch_is_as_likely_to_be_decoded_and_an_image_draws_for_itself(
    strategy: str,
) -> None:
    noise = uniform(torch.arange(4000), 16)
    hidden = mask_patches(noise, (4, 4), 0.75, strategy).hidden
    chosen = random_part(hidden, noise, 0.5)
    assert chosen.shape == (4000, 6)
    masked, decoded = (part.flatten().bincount(minlength=16) for part in (hidden, chosen))
    assert ((decoded - masked / 2).abs() <= 5 * masked.sqrt() / 2).all()
    assert torch.equal(random_part(hidden[7:8], noise[7:8], 0.5), chosen[7:8])


def test_channels_without_content_and_weight_change_no_token() -> None:
    mae, images = model(in_chans=2).encoder, torch.randn(2, 2, 32, 32)
    wide = model(in_chans=4).encoder
    state = mae.state_dict()
    weight = state["patch_embed.proj.weight"]
    state["patch_embed.proj.weight"] = torch.cat([weight, torch.zeros_like(weight)], dim=1)
    wide.load_state_dict(state)
    padded = torch.cat([images, torch.randn(2, 2, 32, 32)], dim=1)
    torch.testing.assert_close(wide(padded), mae(images), atol=1e-5, rtol=1e-5)


def test_a_wide_image_turned_gives_the_turned_prediction() -> None:
    """Rows and columns are treated alike: only positions tell them apart."""
    wide, tall = model(img_size=(16, 40)), model(img_size=(40, 16))
    state = wide.state_dict()
    turn = torch.arange(10).reshape(2, 5).T.flatten()  # tall patch -> wide patch
    for key in ("encoder.pos_embed", "decoder.pos_embed"):
        state[key] = torch.cat([state[key][:, :1], state[key][:, 1:][:, turn]], dim=1)
    weight = state["encoder.patch_embed.proj.weight"]
    state["encoder.patch_embed.proj.weight"] = weight.transpose(2, 3)
    tall.load_state_dict(state)
    images, noise = torch.randn(2, 3, 16, 40), torch.rand(2, 10)
    first = wide.encoder(images, noise.argsort(dim=1)[:, :4])
    turned = noise[:, turn].argsort(dim=1)[:, :4]
    second = tall.encoder(images.transpose(2, 3), turned)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


def test_without_masks_it_is_an_autoencoder() -> None:
    mae, images = model(mask_ratio=0.0).eval(), torch.randn(2, 3, 32, 32)
    out = mae(images)
    assert out.mask.sum() == 0
    torch.testing.assert_close(out.loss, (out.pred - mae.target(images)).square().mean())


def test_no_gradient_reaches_the_pixels_of_the_target_or_the_fixed_positions() -> None:
    mae = model()
    mae(torch.randn(2, 3, 32, 32)).loss.backward()
    without = {name for name, p in mae.named_parameters() if p.grad is None}
    assert without == {"encoder.pos_embed", "decoder.pos_embed"}


def test_pixels_inverts_the_normalised_target() -> None:
    mae = model(norm_pix_loss=True)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(mae.pixels(images, mae.target(images)), images, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 5}, "5 heads do not divide the width 48"),
        ({"decoder_heads": 5}, "5 decoder heads do not divide the decoder width 24"),
        ({"img_size": 33}, "33×33 pixels cannot be cut into patches of 8"),
        ({"widht": 48}, "did you mean 'width'"),
        ({"mask_ratio": 0.97}, r"mask_ratio 0.97 leaves 0 of 16 patches visible"),
        ({"mask_ratio": -0.1}, r"mask_ratio -0.1 leaves 17 of 16"),
        ({"masking": "blocks"}, "no masking is called 'blocks': did you mean 'block'"),
        ({"objective": "l2"}, "no objective is called 'l2'"),
        ({"decode_ratio": 0.0}, "decode_ratio 0.0: choose above 0 to 1"),
    ],
)
def test_sizes_that_do_not_fit_say_so(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        model(**fields)


def test_an_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'vit-base-p16'"):
        create_model("vit-bas-p16")


def pixels_of_three() -> Tensor:
    return torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)


def test_three_quarters_are_grey_and_only_these_are_pasted() -> None:
    pixels = pixels_of_three()
    original = patchify(pixels, PATCH)
    rows = {
        name: patchify(image, PATCH)
        for name, image in reconstruct(model(norm_pix_loss=False), NORMALIZE, pixels).items()
    }
    hidden = (rows["masked"] == int(255 * MASK_GREY)).all(dim=-1)  # (N, L)
    assert hidden.sum(dim=1).tolist() == [12, 12, 12]
    for name in ("masked", "pasted"):
        assert torch.equal(rows[name][~hidden], original[~hidden])
    assert torch.equal(rows["pasted"][hidden], rows["predicted"][hidden])
    assert not torch.equal(rows["predicted"][~hidden], original[~hidden])


@pytest.mark.parametrize("norm_pix_loss", [True, False])
def test_a_perfect_prediction_is_drawn_as_the_image(norm_pix_loss: bool) -> None:
    mae, pixels = model(), pixels_of_three()
    mae.norm_pix_loss = norm_pix_loss
    perfect = mae.target(NORMALIZE.images(pixels))
    mae.decoder.forward = lambda latent, patches, grid: gather_patches(perfect, patches)
    assert torch.equal(reconstruct(mae, NORMALIZE, pixels)["predicted"], pixels)


def test_another_mask_ratio_is_for_the_picture_only() -> None:
    mae = model()
    parts = reconstruct(mae, NORMALIZE, pixels_of_three(), mask_ratio=0.5)
    masked = patchify(parts["masked"], PATCH)
    assert (masked == int(255 * MASK_GREY)).all(dim=-1).sum(dim=1).tolist() == [8, 8, 8]
    assert mae.mask_ratio == 0.75


def test_the_seed_decides_the_masks_whatever_was_drawn_before() -> None:
    mae, pixels = model(), pixels_of_three()
    first = reconstruct(mae, NORMALIZE, pixels, seed=1)["masked"]
    torch.rand(5)
    assert torch.equal(first, reconstruct(mae, NORMALIZE, pixels, seed=1)["masked"])
    assert not torch.equal(first, reconstruct(mae, NORMALIZE, pixels, seed=2)["masked"])
