from typing import Any

import numpy as np
import pytest
import torch

from mae_core import UserError
from mae_core.encoders import create_encoder
from mae_core.encoders.base import OFFERS


def images(height: int = 24, width: int = 16, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, channels, height, width, generator=generator)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_the_statistics_of_each_channel_and_a_thumbnail(channels: int) -> None:
    x = images(channels=channels)
    found = create_encoder("pixels", img_size=(24, 16), in_chans=channels).pooled(x)
    pixels = x.double().numpy()
    for row, image in zip(found.numpy(), pixels, strict=True):
        expected = [
            *(each.mean() for each in image),
            *(each.std() for each in image),
            *(each.min() for each in image),
            *(each.max() for each in image),
            *(
                each[3 * i : 3 * i + 3, 2 * j : 2 * j + 2].mean()
                for each in image
                for i in range(8)
                for j in range(8)
            ),
        ]
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_a_thumbnail_of_smaller_images_repeats_their_pixels() -> None:
    encoder = create_encoder("pixels", img_size=4)
    found = encoder.pooled(images(4, 4))
    assert found.shape == (3, encoder.pooled_width("avg")) == (3, 204)
    thumbnail = found[:, 12:].unflatten(1, (3, 8, 8))
    torch.testing.assert_close(thumbnail[..., ::2, 1::2], images(4, 4))


@pytest.mark.parametrize("many", [False, True])
def test_rcf_are_the_means_of_rectified_filters(
    many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not many:  # the maps of one image at a time
        monkeypatch.setattr("mae_core.encoders.trivial.NUMBERS", 1)
    encoder = create_encoder("rcf", img_size=(9, 7), filters=5, kernel_size=3)
    x = images(9, 7)
    weight = encoder.weight.double().numpy()
    windows = np.lib.stride_tricks.sliding_window_view(x.double().numpy(), (3, 3), axis=(2, 3))
    responses = np.einsum("nchwij,kcij->nkhw", windows, weight)
    assert responses.shape == (3, 5, 7, 5) and (abs(responses) > 1).any()
    sides = [np.maximum(0, side - 1).mean(axis=(2, 3)) for side in (responses, -responses)]
    np.testing.assert_allclose(encoder.pooled(x), np.concatenate(sides, axis=1), atol=1e-5)


def test_the_seed_draws_the_filters() -> None:
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(create_encoder("rcf", img_size=12).pooled(images()))
    assert torch.equal(drawn[0], drawn[1]) and not torch.allclose(drawn[0], drawn[2])


@pytest.mark.parametrize("arch", ["pixels", "rcf"])
def test_they_have_one_vector_and_nothing_to_train(arch: str) -> None:
    encoder = create_encoder(arch, img_size=16, in_chans=2)
    x = images(channels=2)
    assert not list(encoder.parameters()) and encoder.parts() == []
    assert torch.equal(encoder.pooled(x, "own", layer=0), encoder.pooled(x))
    assert encoder(x).shape == (3, encoder.pooled_width("own", 0))
    for pool, layer, message in (
        ("cls", None, f"pool='cls': .*'{arch}' have one vector"),
        ("avg", 1, "layer=1: the encoder has layers 0 to 0"),
    ):
        with pytest.raises(UserError, match=message):
            encoder.pooled_width(pool, layer)
    for offer in OFFERS:
        with pytest.raises(UserError, match=f"'{arch}' is none"):
            encoder.require(offer, "a test")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"in_chans": 0}, "in_chans=0"),
        ({"img_size": 0}, "img_size=0"),
        ({"filters": 1.5}, "filters=1.5"),
        ({"bias": "low"}, "bias='low'"),
        ({"img_size": 8, "kernel_size": 9}, "kernel_size=9: expected at most .* 8 pixels"),
    ],
)
def test_sizes_that_cannot_be_are_the_users_mistake(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_encoder("rcf", **fields)
