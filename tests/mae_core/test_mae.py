import re

import pytest
import torch
from torch import Tensor
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from mae_core import UserError, create_model
from mae_core.mae import MAE

SIZES = {"img_size": 32, "patch_size": 8, "width": 48, "depth": 2, "heads": 4}
DECODER = {"decoder_width": 24, "decoder_depth": 2, "decoder_heads": 3}


def model(**fields: object) -> MAE:
    return create_model("vit-micro-p6", **{**SIZES, **DECODER, **fields})


def reference(norm_pix_loss: bool) -> ViTMAEForPreTraining:
    """The independent implementation in transformers, of the same size."""
    return ViTMAEForPreTraining(
        ViTMAEConfig(
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=192,
            image_size=32,
            patch_size=8,
            decoder_hidden_size=24,
            decoder_num_hidden_layers=2,
            decoder_num_attention_heads=3,
            decoder_intermediate_size=96,
            norm_pix_loss=norm_pix_loss,
            layer_norm_eps=1e-6,
            attn_implementation="eager",
        )
    )


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


@pytest.mark.parametrize("norm_pix_loss", [True, False])
def test_equals_the_independent_implementation(norm_pix_loss: bool) -> None:
    ours, theirs = model(norm_pix_loss=norm_pix_loss), reference(norm_pix_loss)
    theirs.load_state_dict(to_reference(ours.state_dict()))
    images, noise = torch.randn(3, 3, 32, 32), torch.rand(3, 16)
    out, expected = ours(images, noise), theirs(images, noise=noise)
    torch.testing.assert_close(out.mask, expected.mask)
    torch.testing.assert_close(out.pred, expected.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out.loss, expected.loss, atol=1e-5, rtol=1e-5)


def test_the_loss_ignores_visible_patches() -> None:
    mae = model(norm_pix_loss=False).eval()
    images, noise = torch.randn(2, 3, 32, 32), torch.rand(2, 16)
    out = mae(images, noise)
    error = (out.pred - mae.target(images)).square().mean(dim=-1)
    assert torch.allclose(out.loss, error[out.mask.bool()].mean())


def test_no_gradient_reaches_the_pixels_of_the_target_or_the_fixed_positions() -> None:
    mae = model()
    mae(torch.randn(2, 3, 32, 32)).loss.backward()
    without = {name for name, p in mae.named_parameters() if p.grad is None}
    assert without == {"encoder.pos_embed", "decoder.pos_embed"}


def test_pixels_inverts_the_normalised_target() -> None:
    mae = model(norm_pix_loss=True)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(mae.pixels(images, mae.target(images)), images, atol=1e-5, rtol=1e-5)


def test_not_square_images_and_other_channels_work() -> None:
    out = model(img_size=(16, 40), in_chans=5)(torch.randn(2, 5, 16, 40))
    assert out.pred.shape == (2, 10, 8 * 8 * 5)
    assert out.loss.isfinite()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 5}, "5 heads do not divide the width 48"),
        ({"decoder_heads": 5}, "5 decoder heads do not divide the decoder width 24"),
        ({"img_size": 33}, "33×33 pixels cannot be cut into patches of 8"),
        ({"widht": 48}, "did you mean 'width'"),
    ],
)
def test_sizes_that_do_not_fit_say_so(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        model(**fields)


def test_an_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'vit-base-p16'"):
        create_model("vit-bas-p16")
