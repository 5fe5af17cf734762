import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.auto_augment import NAME_TO_OP

from mae_core import UserError
from mae_core.data.augment import Augment, seeded
from mae_core.data.decode import ArrayImage
from mae_core.data.transform import Transform

TRAIN = {"input_size": 16, "is_training": True}


def image(channels: int = 3, height: int = 40, width: int = 50) -> ArrayImage:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return ArrayImage(pixels, channels, "x")


@pytest.mark.parametrize(
    ("size", "shape"), [(8, (8, 8)), ((8, 12), (8, 12)), ([3, 8, 12], (8, 12))]
)
@pytest.mark.parametrize("training", [True, False])
def test_views_have_the_size_that_was_asked_for(size: Any, shape: Any, training: bool) -> None:
    config = {"input_size": size, "is_training": training, "color_jitter": None}
    for channels in (1, 3, 5):
        views = Transform(config, channels).views(image(channels), [1, 2])
        assert [view.pixels.shape for view in views] == [(channels, *shape)] * 2
        assert all(view.pixels.dtype == torch.uint8 for view in views)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "more",
    [
        {"color_jitter": 0.4},
        {"color_jitter": 0.4, "color_jitter_prob": 0.5},
        {"auto_augment": "rand-m9-mstd0.5-inc1"},
        {"auto_augment": "rand-m9-mstd0.5-inc1", "interpolation": "random"},
        {"color_jitter": None, "grayscale_prob": 1.0},
        {"color_jitter": None, "gaussian_blur_prob": 1.0, "input_size": 32},
        {"color_jitter": None, "re_prob": 1.0, "re_mode": "pixel"},
    ],
)
def test_augmentations_change_the_crop_and_follow_the_seed(
    channels: int, more: dict[str, Any]
) -> None:
    if channels == 1 and "grayscale_prob" in more:
        pytest.skip("grey is grey")
    transform = Transform({**TRAIN, **more}, channels)
    plain = Transform(
        {**TRAIN, "color_jitter": None, "input_size": more.get("input_size", 16)}, channels
    )
    seeds = list(range(5))
    views, again = (transform.views(image(channels), seeds) for _ in range(2))
    crops = plain.views(image(channels), seeds)
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(views, again, strict=True))
    if "interpolation" not in more:
        assert [view.flip for view in views] == [crop.flip for crop in crops]
        assert any(not torch.equal(a.pixels, b.pixels) for a, b in zip(views, crops, strict=True))


def test_augmentations_are_timms() -> None:
    config = {"color_jitter": 0.4, "auto_augment": "rand-m9-mstd0.5-inc1"}
    _, timms, _ = create_transform((16, 16), is_training=True, separate=True, **config)
    crop = torch.from_numpy(image().array[:16, :16].copy()).permute(2, 0, 1)
    augment = Augment((16, 16), 3, config)
    for seed in range(10):
        with seeded(seed):
            expected = timms(Image.fromarray(crop.permute(1, 2, 0).numpy()))
        assert np.array_equal(augment(crop, seed).permute(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_survives_its_strongest_posterizing(channels: int) -> None:
    augment = Augment((16, 16), channels, {"auto_augment": "rand-m10-n4-mstd0.5-inc1-p1"})
    crop = torch.from_numpy(image(channels).array[:16, :16].copy()).permute(2, 0, 1)
    for seed in range(200):
        assert augment(crop, seed).shape == crop.shape
    white = Image.new("RGB", (2, 2), (255, 255, 255))
    levels = [NAME_TO_OP["PosterizeIncreasing"](white, bits).getpixel((0, 0)) for bits in (0, 1, 8)]
    assert levels == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]


def test_an_erased_part_has_the_mean_and_the_rest_its_pixels() -> None:
    config = {"color_jitter": None, "re_prob": 1.0, "mean": (0.2, 0.4, 0.6), "std": (0.1, 0.1, 0.1)}
    crop = torch.full((3, 32, 32), 250, dtype=torch.uint8)
    found = Augment((32, 32), 3, config)(crop, 1)
    erased = (found != 250).any(dim=0)
    assert 0.01 < erased.float().mean() < 0.4
    assert found[:, erased].unique(dim=1).squeeze(1).tolist() == [51, 102, 153]


def test_evaluation_and_no_jitter_have_no_augmentations() -> None:
    assert not Transform({"input_size": 8}, 3).augment
    assert not Transform({**TRAIN, "color_jitter": None}, 3).augment
    assert Transform(TRAIN, 3).augment, "timm's default is a colour jitter of 0.4"


def test_states_are_restored_after_an_error() -> None:
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    with pytest.raises(KeyError), seeded(3):
        random.random(), np.random.rand(), torch.rand(1)
        raise KeyError
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert after == states


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scal": (0.1, 1)}, "transform has no field 'scal': did you mean 'scale'"),
        ({"scale": (0.0, 1)}, r"transform.scale=\(0.0, 1\): expected two bounds above 0 and at m"),
        ({"scale": (0.5, 1.5)}, "transform.scale=.* at most 1"),
        ({"ratio": (2, 1)}, r"transform.ratio=\(2, 1\): expected two bounds"),
        ({"hflip": 2}, "transform.hflip=2: expected a probability"),
        ({"input_size": 0}, "transform.input_size=0: expected pixels"),
        ({"input_size": (8, 8.5)}, "transform.input_size"),
        ({"interpolation": "nearest"}, "interpolation='nearest': expected bilinear or bicubic"),
        ({"auto_augment": "odd"}, "timm refuses transform="),
        ({"re_prob": 0.1, "re_mode": "odd"}, "timm refuses transform="),
        ({"is_training": False, "crop_mode": "border"}, "crop_mode='border': expected 'center' or"),
        ({"is_training": False, "crop_pct": 1.5}, "crop_pct=1.5: expected above 0, at most 1"),
    ],
)
def test_mistakes_are_explained(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Transform({**TRAIN, **wrong}, 3)


def test_timm_augments_grey_and_colour_only() -> None:
    with pytest.raises(UserError, match=r"in_chans=5: .*color_jitter=None"):
        Transform(TRAIN, 5)
