"""From an opened image to what a batch holds of it: crops, flips and augmentations."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from mae_core.data import augment
from mae_core.data.crops import (
    CROP_PCT,
    RATIO,
    SCALE,
    CentralCrop,
    Cropper,
    RandomResizedCrop,
    Squash,
    check_interpolation,
    cut,
    reduction,
)
from mae_core.data.decode import Opened, Size
from mae_core.errors import UserError, check_fields

KEYS = ("crop_mode", "crop_pct", "hflip", "input_size", "is_training", "ratio", "scale")


class View(NamedTuple):
    """A crop of an image, (C, h, w) as its pixels are, and whether the device is to mirror it."""

    pixels: torch.Tensor
    flip: bool


class Transform:
    """What is done to an image, from the arguments of timm's `create_transform`.

    With `is_training` a random resized crop, a flip, and what :class:`Augment` adds; else timm's
    central crop, or with `crop_mode="squash"` the whole image, its sides resized each by itself.

    Args:
        config: `input_size` (a side, or height and width) and other arguments of timm's
            `create_transform` among `KEYS` and `augment.KEYS`, with its defaults.
        channels: of the images.
        as_stored: whether pixels are what files hold, and not of 8 bits; then nothing but crops
            and flips is done to them.

    Raises:
        UserError: for an unknown argument or one out of range.
    """

    def __init__(self, config: dict[str, Any], channels: int, as_stored: bool = False) -> None:
        check_fields(config, (*KEYS, *augment.KEYS), "transform")
        if as_stored and config.get("is_training"):
            augment.check_none(config)
        self.cropper, self.augment = build(config, channels)

    def views(self, image: Opened, seeds: Sequence[int]) -> list[View]:
        """One view of the image for each seed (0 to below 2**63), from one decoding.

        Raises:
            Unreadable: if the image is damaged.
        """
        return self.augmented(self.cropped(image, seeds), seeds)

    def cropped(self, image: Opened, seeds: Sequence[int]) -> list[View]:
        """The views before they are augmented."""
        crops = [self.cropper(image.size, seed) for seed in seeds]
        pixels = image.pixels(reduction(crops))
        return [View(cut(pixels, image.size, crop), crop.flip) for crop in crops]

    def augmented(self, views: list[View], seeds: Sequence[int]) -> list[View]:
        """The views, augmented if the transform does."""
        if not self.augment:
            return views
        return [View(self.augment(v.pixels, s), v.flip) for v, s in zip(views, seeds, strict=True)]


def build(config: dict[str, Any], channels: int) -> tuple[Cropper, augment.Augment | None]:
    """The two parts of a transform; there are no augmentations in evaluation."""
    output, training = output_size(config), bool(config.get("is_training"))
    interpolation = config.get("interpolation", "bilinear")
    check_interpolation(interpolation, training)
    if not training:
        crop_pct = config.get("crop_pct") or CROP_PCT
        if not 0 < crop_pct <= 1:
            raise UserError(f"transform.crop_pct={crop_pct}: expected above 0, at most 1")
        return evaluated(config.get("crop_mode"))(output, crop_pct, interpolation), None
    scale, ratio = range_of(config, "scale", SCALE, most=1), range_of(config, "ratio", RATIO)
    hflip = config.get("hflip", 0.5)
    if not 0 <= hflip <= 1:
        raise UserError(f"transform.hflip={hflip}: expected a probability")
    rest = {key: value for key, value in config.items() if key in augment.KEYS}
    return (
        RandomResizedCrop(output, scale, ratio, hflip, interpolation),
        augment.Augment(output, channels, rest),
    )


def evaluated(mode: str | None) -> type[CentralCrop | Squash]:
    """What `crop_mode` means: the 'center', timm's default, or 'squash'."""
    if mode == "squash":
        return Squash
    if mode not in (None, "center"):
        raise UserError(f"transform.crop_mode='{mode}': expected 'center' or 'squash'")
    return CentralCrop


def output_size(config: dict[str, Any]) -> Size:
    """Height and width of `input_size`: a side, (height, width) or (channels, height, width)."""
    given = config.get("input_size", 224)
    sides = (given, given) if isinstance(given, int) else tuple(given)[-2:]
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise UserError(f"transform.input_size={given}: expected pixels, or (height, width)")
    return sides


def range_of(
    config: dict[str, Any], key: str, default: Sequence[float], most: float = math.inf
) -> Sequence[float]:
    """The bounds under `key`, both above 0."""
    bounds = config.get(key) or default
    if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1] <= most:
        limit = f" and at most {most}" if most < math.inf else ""
        raise UserError(f"transform.{key}={bounds}: expected two bounds above 0{limit}")
    return bounds
