import io
import random

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp
from timm.data import create_transform
from torchvision.transforms import RandomResizedCrop as Reference

from mae_core import UserError
from mae_core.data.crops import (
    Box,
    CentralCrop,
    Crop,
    RandomResizedCrop,
    Squash,
    check_interpolation,
    cut,
    reduction,
)
from mae_core.data.decode import open_image

sides = st.integers(1, 700)
sizes = st.tuples(sides, sides)
PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def photo(height: int, width: int) -> Image.Image:
    """Waves of several lengths, as smooth and as sharp as a photo's parts."""
    y, x = np.mgrid[:height, :width] / 7
    waves = np.sin(x) * np.cos(y / 2) + np.sin((x * y) ** 0.5) + np.sign(np.sin(x / 3 + y))
    planes = np.stack([waves, np.roll(waves, 5, 0), np.roll(waves, 9, 1)], axis=-1)
    return Image.fromarray((127 + 40 * planes).astype(np.uint8))


def whole(image: Image.Image, crop: Crop) -> np.ndarray:
    return cut(np.array(image), (image.height, image.width), crop).numpy().transpose(1, 2, 0)


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (32, 32), (100, 700)])
@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.08, 0.3)])
def test_boxes_are_distributed_as_torchvisions(
    size: tuple[int, int], scale: tuple[float, float]
) -> None:
    torch.manual_seed(0)
    ratio, image, count = (3 / 4, 4 / 3), torch.empty(3, *size), 3000
    theirs = np.array([Reference.get_params(image, list(scale), list(ratio)) for _ in range(count)])
    crop = RandomResizedCrop((224, 224), scale, ratio)
    ours = np.array([crop(size, seed).box for seed in range(count)])

    def features(boxes: np.ndarray) -> dict[str, np.ndarray]:
        top, left, height, width = boxes.T.astype(float)
        return {
            "area": height * width,
            "ratio": width / height,
            "top": (top + 0.5) / (size[0] - height + 1),
            "left": (left + 0.5) / (size[1] - width + 1),
        }

    for name, values in features(theirs).items():
        assert ks_2samp(values, features(ours)[name]).pvalue > 1e-3, name


@pytest.mark.parametrize("size", [(10, 3000), (3000, 10), (1, 1)])
def test_a_very_long_image_gives_torchvisions_central_part(size: tuple[int, int]) -> None:
    theirs = Reference.get_params(torch.empty(3, *size), [0.5, 1.0], [3 / 4, 4 / 3])
    assert RandomResizedCrop((8, 8), (0.5, 1.0))(size, 0).box == theirs


@given(size=sizes, seed=st.integers(0, 2**63 - 1), low=st.floats(0.01, 1))
def test_a_box_lies_inside_and_follows_its_seed(
    size: tuple[int, int], seed: int, low: float
) -> None:
    crop = RandomResizedCrop((16, 16), (low, 1.0), interpolation="random")
    found = crop(size, seed)
    top, left, height, width = found.box
    assert 0 <= top < top + height <= size[0] and 0 <= left < left + width <= size[1]
    assert found.interpolation in ("bilinear", "bicubic")
    random.seed(seed + 1)
    assert crop(size, seed) == found


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("box", [Box(3, 5, 9, 12), Box(0, 0, 150, 200), Box(10, 20, 61, 47)])
def test_a_crop_is_resized_as_pillow_does(box: Box, interpolation: str) -> None:
    image = photo(150, 200)
    crop = Crop(box, (30, 40), Box(0, 0, 30, 40), False, interpolation)
    area = (box.left, box.top, box.left + box.width, box.top + box.height)
    expected = np.asarray(image.crop(area).resize((40, 30), PILLOW[interpolation]))
    assert np.abs(whole(image, crop).astype(int) - expected).max() <= 2


@given(size=st.tuples(st.integers(20, 90), st.integers(20, 90)), crop_pct=st.floats(0.5, 1))
@example(size=(84, 56), crop_pct=0.71875)  # a height of 82.5 before it is rounded
@pytest.mark.parametrize("output", [(30, 30), (24, 40)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_central_crop_is_timms(
    output: tuple[int, int], interpolation: str, size: tuple[int, int], crop_pct: float
) -> None:
    image = photo(*size)
    timms = create_transform(
        output, crop_pct=crop_pct, interpolation=interpolation, normalize=False
    )
    ours = whole(image, CentralCrop(output, crop_pct, interpolation)(size, 0))
    assert np.abs(ours.astype(int) - timms(image).numpy().transpose(1, 2, 0)).max() <= 2


@given(size=st.tuples(st.integers(20, 90), st.integers(20, 90)), crop_pct=st.floats(0.5, 1))
@pytest.mark.parametrize("output", [(30, 30), (24, 40)])
def test_the_squashed_image_is_timms(
    output: tuple[int, int], size: tuple[int, int], crop_pct: float
) -> None:
    image = photo(*size)
    timms = create_transform(
        output, crop_pct=crop_pct, crop_mode="squash", interpolation="bilinear", normalize=False
    )
    ours = whole(image, Squash(output, crop_pct)(size, 0))
    assert np.abs(ours.astype(int) - timms(image).numpy().transpose(1, 2, 0)).max() <= 2


def test_all_of_an_image_is_squashed_into_a_square() -> None:
    """As by VTAB's code: both ends of a long image are seen, and the middle is where it was."""
    image = Image.new("RGB", (300, 100))
    image.paste((255, 255, 255), (0, 0, 150, 100))
    found = whole(image, Squash((20, 20), 1.0)((100, 300), 0))
    assert found.shape == (20, 20, 3)
    assert (found[:, :9] == 255).all() and (found[:, 11:] == 0).all()


def test_a_pixel_and_a_strip_have_a_centre() -> None:
    for size in ((1, 1), (10, 30_000), (30_000, 10)):
        crop = CentralCrop((224, 224))(size, 0)
        assert max(crop.resized) <= 16 * 256 + 1
        assert np.all(whole(Image.new("RGB", size[::-1], (9, 9, 9)), crop) == 9)


@given(boxes=st.lists(sizes, min_size=1, max_size=3), output=sizes)
def test_a_reduced_crop_has_no_fewer_pixels_than_it_is_resized_to(
    boxes: list[tuple[int, int]], output: tuple[int, int]
) -> None:
    window = Box(0, 0, *output)
    crops = [Crop(Box(0, 0, *box), output, window, False, "bicubic") for box in boxes]
    factor = reduction(crops)
    kept = [all(b >= factor * o for b, o in zip(box, output, strict=True)) for box in boxes]
    assert factor == 1 or all(kept)
    larger = [all(b >= 2 * factor * o for b, o in zip(box, output, strict=True)) for box in boxes]
    assert factor == 8 or not all(larger)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_crop_of_a_reduced_jpeg_is_close_to_that_of_the_whole(factor: int) -> None:
    out = io.BytesIO()
    large = photo(100, 125).resize((1003, 801), Image.Resampling.BICUBIC)
    large.save(out, "JPEG", quality=95)
    opened = open_image(out.getvalue(), 3, "x")
    box = Box(33, 101, 640, 801)
    crop = Crop(box, (64, 80), Box(0, 0, 64, 80), False, "bicubic")
    full, reduced = (cut(opened.pixels(f), opened.size, crop).float() for f in (1, factor))
    assert (full - reduced).abs().mean() < 4


def test_another_interpolation_is_the_users_mistake() -> None:
    check_interpolation("random", training=True)
    for name, training in (("random", False), ("lanczos", True)):
        with pytest.raises(UserError, match=f"interpolation='{name}': expected bilinear or bicub"):
            check_interpolation(name, training)
