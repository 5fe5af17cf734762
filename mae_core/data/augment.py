"""Augmentations after the crop, by timm: colour jitter, RandAugment, random erasing and others."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, create_transform
from timm.data.auto_augment import NAME_TO_OP
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from mae_core.data.decode import MODES, Size
from mae_core.errors import UserError

KEYS = (  # of timm's create_transform
    "auto_augment",
    "color_jitter",
    "color_jitter_prob",
    "gaussian_blur_prob",
    "grayscale_prob",
    "interpolation",
    "mean",
    "re_count",
    "re_mode",
    "re_prob",
    "std",
)

CHANGES = (  # those that, above 0, change pixels
    "auto_augment",
    "color_jitter",
    "gaussian_blur_prob",
    "grayscale_prob",
    "re_prob",
)


def posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    """The first `bits` bits of each pixel; with none it is black.

    timm's RandAugment asks for 0 bits at magnitude 10, which Pillow refuses since version 13.
    """
    if bits < 1:
        return Image.new(image.mode, image.size)
    return ImageOps.posterize(image, bits) if bits < 8 else image


NAME_TO_OP.update({name: posterize for name in NAME_TO_OP if name.startswith("Posterize")})


class Augment:
    """timm's augmentations of a crop, drawn from a seed; false if there are none.

    Args:
        output: height and width of the crops.
        channels: of the images.
        config: arguments of timm's `create_transform` among `KEYS`, with timm's defaults: a colour
            jitter of 0.4 among them. `mean` and `std` (0 to 1) are those of what is erased.

    Raises:
        UserError: if timm does not take the arguments, or such channels.
    """

    def __init__(self, output: Size, channels: int, config: Mapping[str, Any]) -> None:
        config = {**pixel_statistics(channels), **config}
        try:
            _, self.colours, self.erase = create_transform(
                output, is_training=True, separate=True, **config
            )
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"timm refuses transform={config}: {error!r}") from error
        self.erases = config.get("re_prob", 0.0) > 0
        self.mean, self.std = (
            255 * torch.tensor(config[key]).view(-1, 1, 1) for key in ("mean", "std")
        )
        if self and channels not in MODES:
            raise UserError(
                f"in_chans={channels}: timm augments 1 or 3 channels; set color_jitter=None"
            )

    def __bool__(self) -> bool:
        return bool(self.colours.transforms) or self.erases

    def __call__(self, crop: torch.Tensor, seed: int) -> torch.Tensor:
        """(C, H, W) uint8 -> the same."""
        with seeded(seed):
            image = self.colours(to_pil_image(crop))
            if not self.erases:
                return pil_to_tensor(image)
            return (self.erase(image) * self.std + self.mean).round().clamp(0, 255).byte()


def check_none(config: Mapping[str, Any]) -> None:
    """Raise UserError if arguments of a transform augment: pixels are not of 8 bits."""
    found = {"color_jitter": 0.4, **config}
    asked = " and ".join(f"{key}={found[key]!r}" for key in CHANGES if found.get(key))
    if asked:
        raise UserError(
            f"transform: {asked} would change colours of 8 bits, where bands are read as they are "
            "stored: set color_jitter=None, and leave augmentations out"
        )


def pixel_statistics(channels: int) -> dict[str, Sequence[float]]:
    """`mean` and `std` of ImageNet, the average of its channels for others."""
    colour = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}
    if channels == 3:
        return dict(colour)
    return {key: [sum(values) / 3] * channels for key, values in colour.items()}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, NumPy's and torch's random states from `seed` (below 2**63), restored after."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)  # alone: the GPU's would not be restored
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
