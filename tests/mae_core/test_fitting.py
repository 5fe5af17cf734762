from typing import Any

import pytest
import torch

from mae_core import UserError, create_encoder, create_model
from mae_core.fitting import EMBEDDING, fit_channels, fit_patches, fit_positions, rgb_places
from mae_core.patches import patchify
from mae_core.positions import sincos_positions


def table(h: int, w: int) -> torch.Tensor:
    return sincos_positions((h, w), 16)


def test_a_grid_of_another_shape_but_equal_length_is_resampled() -> None:
    state = {"encoder.pos_embed": table(2, 8)}
    assert fit_positions(state, (8, 2), old=(2, 8)) == ["encoder.pos_embed"]
    assert not torch.allclose(state["encoder.pos_embed"], table(2, 8))
    assert fit_positions({"encoder.pos_embed": table(2, 8)}, (2, 8)) == []


def test_both_tables_follow_a_grid_that_is_not_square() -> None:
    state = {"encoder.pos_embed": table(4, 4), "decoder.pos_embed": table(4, 4)}
    assert fit_positions(state, (3, 6)) == list(state)
    assert all(value.shape == (1, 19, 16) for value in state.values())
    assert torch.equal(state["encoder.pos_embed"][:, 0], table(4, 4)[:, 0])


def test_a_table_without_class_token_is_not_guessed() -> None:
    with pytest.raises(UserError, match="has 16 positions: expected a class token and a square"):
        fit_positions({"encoder.pos_embed": table(4, 4)[:, 1:]}, (6, 6))


def test_a_grey_image_gives_the_tokens_of_the_same_image_in_rgb() -> None:
    rgb = create_encoder("vit-micro-p6", img_size=12)
    grey = create_encoder("vit-micro-p6", img_size=12, in_chans=1)
    state = {f"encoder.{key}": value for key, value in rgb.state_dict().items()}
    changed = fit_channels(state, 1)
    assert changed == ["encoder.patch_embed.proj.weight"]
    grey.load_state_dict({key.removeprefix("encoder."): v for key, v in state.items()})
    images = torch.randn(2, 1, 12, 12)
    torch.testing.assert_close(
        grey(images), rgb(images.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_prediction_gets_a_pixel_for_each_channel(channels: int) -> None:
    mae = create_model("vit-micro-p6", img_size=12, decoder_width=16, decoder_heads=2)
    state = {k: v for k, v in mae.state_dict().items() if "pred" in k or "patch_embed" in k}
    before = state["decoder.pred.bias"] = torch.arange(108.0)
    assert fit_channels(state, channels)[1:] == ["decoder.pred.weight", "decoder.pred.bias"]
    rgb = before.reshape(6, 6, 3).permute(2, 0, 1).unsqueeze(0)
    wanted = rgb.mean(1, keepdim=True) if channels == 1 else rgb[:, [0, 1, 2, 0, 1][:channels]]
    assert torch.equal(state["decoder.pred.bias"], patchify(wanted, 6)[0, 0])
    assert state["decoder.pred.weight"].shape == (36 * channels, 16)


def test_channels_that_are_not_rgb_are_not_guessed() -> None:
    state = {"encoder.patch_embed.proj.weight": torch.zeros(16, 5, 8, 8)}
    with pytest.raises(UserError, match="looks at 5 channels, the model at 3"):
        fit_channels(state, 3)


def test_patches_of_another_size_give_about_the_same_tokens() -> None:
    state = {EMBEDDING: torch.randn(8, 3, 14, 14)}
    before = state[EMBEDDING].clone()
    assert fit_patches(state, 14) == [] and torch.equal(state[EMBEDDING], before)
    assert fit_patches(state, 16) == [EMBEDDING]
    patch = torch.randn(5, 3, 14, 14)
    resized = torch.nn.functional.interpolate(
        patch, size=16, mode="bicubic", antialias=True, align_corners=False
    )
    tokens = torch.einsum("nchw,dchw->nd", patch, before)
    found = torch.einsum("nchw,dchw->nd", resized, state[EMBEDDING])
    torch.testing.assert_close(found, tokens, atol=1e-2, rtol=1e-2)


BANDS = {"red": 3, "green": 2, "blue": 1}


def test_weights_for_rgb_see_red_green_and_blue_where_they_are() -> None:
    state = {EMBEDDING: torch.randn(4, 3, 6, 6)}
    rgb, places = state[EMBEDDING].clone(), rgb_places(BANDS, 5)
    assert fit_channels(state, 5, places) == [EMBEDDING]
    mean = rgb.mean(dim=1)
    own = torch.stack([mean, rgb[:, 2], rgb[:, 1], rgb[:, 0], mean], dim=1) * (3 / 5)
    torch.testing.assert_close(state[EMBEDDING], own)
    alike = torch.randn(1, 1, 6, 6)
    one, other = (alike.expand_as(w[:1]) * w for w in (rgb, state[EMBEDDING]))
    torch.testing.assert_close(one.sum(dim=(1, 2, 3)), other.sum(dim=(1, 2, 3)))


def test_the_prediction_of_a_band_is_that_of_its_colour() -> None:
    mae = create_model("vit-micro-p6", img_size=12, decoder_width=16, decoder_heads=2)
    state = {k: v for k, v in mae.state_dict().items() if "pred" in k or "patch_embed" in k}
    before = state["decoder.pred.bias"] = torch.arange(108.0)
    fit_channels(state, 5, rgb_places(BANDS, 5))
    red, green, blue = before.reshape(36, 3).T
    mean = (red + green + blue) / 3
    own = torch.stack([mean, blue, green, red, mean], dim=1)
    torch.testing.assert_close(state["decoder.pred.bias"].reshape(36, 5), own)


@pytest.mark.parametrize(
    "bands",
    [
        {"red": 3, "green": 2},
        {"red": 3, "green": 2, "blue": 2},
        {"red": 5, "green": 2, "blue": 1},
        {"red": -1, "green": 2, "blue": 1},
        {**BANDS, "nir": 4},
        [3, 2, 1],
    ],
)
def test_bands_of_the_colours_must_be_three_that_there_are(bands: Any) -> None:
    with pytest.raises(UserError, match=r"rgb_bands=.*expected .*numbers from 0 to 4"):
        create_encoder("vit-micro-p6", img_size=12, in_chans=5, rgb_bands=bands)
