"""Which part of an image is looked at, and its pixels at the size that the model sees."""

import math
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple, Protocol

import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from mae_core.data.decode import REDUCTIONS, Size
from mae_core.errors import UserError

ATTEMPTS = 10  # torchvision's, before the crop falls back to the centre
SCALE = (0.08, 1.0)  # defaults of timm and torchvision
RATIO = (3 / 4, 4 / 3)
CROP_PCT = 0.875  # timm's
LONGEST = 16  # times the output's side, to which a very long image is resized at most
FILTERS = ("bilinear", "bicubic")
RANDOM = "random"  # one of both for each crop


class Box(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int


class Crop(NamedTuple):
    """What becomes of an image of a known size.

    Attributes:
        box: the part that is resized,
        resized: to this size; then
        window: is cut out.
        flip: whether it is to be mirrored, later, on the device.
        interpolation: 'bilinear' or 'bicubic', both antialiased.
    """

    box: Box
    resized: Size
    window: Box
    flip: bool
    interpolation: str


class Cropper(Protocol):
    """Chooses crops."""

    def __call__(self, size: Size, seed: int) -> Crop:
        """The crop of an image of `size` that follows from a seed (0 to below 2**63)."""


class RandomResizedCrop:
    """A random part of the image (Szegedy et al. 2014, arXiv 1409.4842, 6), as in torchvision.

    Args:
        output: height and width.
        scale: range of the part's area, as share of the image's.
        ratio: range of the part's width by height, uniform in its logarithm.
        hflip: probability of a mirrored image.
        interpolation: 'bilinear', 'bicubic', or 'random', one of both for each crop.
    """

    def __init__(
        self,
        output: Size,
        scale: Sequence[float] = SCALE,
        ratio: Sequence[float] = RATIO,
        hflip: float = 0.5,
        interpolation: str = "bilinear",
    ) -> None:
        self.output, self.scale, self.ratio = output, scale, ratio
        self.log_ratio = [math.log(bound) for bound in ratio]
        self.hflip = hflip
        self.filters = FILTERS if interpolation == RANDOM else (interpolation,)

    def __call__(self, size: Size, seed: int) -> Crop:
        """See :class:`Cropper`."""
        rng = Random(seed)
        flip = rng.random() < self.hflip
        chosen = self.filters[int(rng.random() * len(self.filters))]
        box = self.box(size, rng)
        return Crop(box, self.output, Box(0, 0, *self.output), flip, chosen)

    def box(self, size: Size, rng: Random) -> Box:
        """The random part."""
        height, width = size
        for _ in range(ATTEMPTS):
            area = height * width * between(self.scale, rng)
            aspect = math.exp(between(self.log_ratio, rng))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                top, left = (
                    int(rng.random() * (height - h + 1)),
                    int(rng.random() * (width - w + 1)),
                )
                return Box(top, left, h, w)
        return self.largest(size)

    def largest(self, size: Size) -> Box:
        """The largest part at the centre whose ratio is allowed."""
        height, width = size
        h, w = height, width
        if width < self.ratio[0] * height:
            h = max(round(width / self.ratio[0]), 1)
        elif width > self.ratio[1] * height:
            w = max(round(height * self.ratio[1]), 1)
        return Box((height - h) // 2, (width - w) // 2, h, w)


class CentralCrop:
    """The image resized so that `output` is a share of it, and its centre; as timm evaluates.

    Args:
        output: height and width.
        crop_pct: the share of the shorter side, above 0, at most 1.
        interpolation: 'bilinear' or 'bicubic'.
    """

    def __init__(
        self, output: Size, crop_pct: float = CROP_PCT, interpolation: str = "bilinear"
    ) -> None:
        self.output = output
        self.target = [math.floor(side / crop_pct) for side in output]
        self.interpolation = interpolation

    def __call__(self, size: Size, seed: int) -> Crop:
        """See :class:`Cropper`; draws nothing."""
        box = self.box(size)
        resized = self.resized((box.height, box.width))
        (height, width), (h, w) = resized, self.output
        window = Box(round((height - h) / 2), round((width - w) / 2), h, w)
        return Crop(box, resized, window, False, self.interpolation)

    def box(self, size: Size) -> Box:
        """The whole image, or the middle of one so long that resizing it all would be a waste."""
        (height, width), (h, w) = size, self.target
        shortest = min(height / h, width / w)
        tall, wide = (math.ceil(LONGEST * side * shortest) for side in self.target)
        tall, wide = min(height, tall), min(width, wide)
        return Box((height - tall) // 2, (width - wide) // 2, tall, wide)

    def resized(self, size: Size) -> Size:
        """The box's size before its centre is cut out."""
        (height, width), (h, w) = size, self.target
        if h == w:  # torchvision's Resize cuts the longer side off, timm's for others rounds
            return (h, w * width // height) if height <= width else (h * height // width, w)
        ratio = min(height / h, width / w)
        return round(height / ratio), round(width / ratio)


class Squash:
    """The whole image at another ratio of its sides, as timm's `crop_mode="squash"`.

    Args:
        output: height and width.
        crop_pct: the share of both sides that is kept, above 0, at most 1.
        interpolation: 'bilinear' or 'bicubic'.
    """

    def __init__(
        self, output: Size, crop_pct: float = CROP_PCT, interpolation: str = "bilinear"
    ) -> None:
        height, width = (math.floor(side / crop_pct) for side in output)
        top, left = round((height - output[0]) / 2), round((width - output[1]) / 2)
        self.resized, self.window = (height, width), Box(top, left, *output)
        self.interpolation = interpolation

    def __call__(self, size: Size, seed: int) -> Crop:
        """See :class:`Cropper`; draws nothing."""
        return Crop(Box(0, 0, *size), self.resized, self.window, False, self.interpolation)


def between(bounds: Sequence[float], rng: Random) -> float:
    """A uniform draw."""
    return bounds[0] + (bounds[1] - bounds[0]) * rng.random()


def reduction(crops: Sequence[Crop]) -> int:
    """The largest JPEG reduction at which no crop has fewer pixels than it is resized to."""
    allowed = min(min(box.height / height, box.width / width) for box, (height, width), *_ in crops)
    return next((factor for factor in REDUCTIONS if factor <= allowed), 1)


def cut(pixels: NDArray[Any], size: Size, crop: Crop) -> torch.Tensor:
    """The crop's pixels.

    Args:
        pixels: (H, W, C) uint8 or float32, of `size` or reduced.
        size: of the image, for which the crop was made.
        crop: what to take.

    Returns:
        (C, h, w) of the same dtype, with the size of the crop's window.
    """
    decoded = pixels.shape[0], pixels.shape[1]
    box, window = scaled(crop.box, size, decoded), crop.window
    part = pixels[box.top : box.top + box.height, box.left : box.left + box.width]
    image = torch.from_numpy(part).permute(2, 0, 1)
    if image.shape[1:] != crop.resized:
        image = interpolate(image[None], crop.resized, mode=crop.interpolation, antialias=True)[0]
    image = image[
        :, window.top : window.top + window.height, window.left : window.left + window.width
    ]
    return image.contiguous()


def scaled(box: Box, size: Size, decoded: Size) -> Box:
    """The box in an image that was decoded smaller, at least a pixel large."""
    if size == decoded:
        return box
    down, across = decoded[0] / size[0], decoded[1] / size[1]
    top, left = int(box.top * down), int(box.left * across)
    height, width = max(round(box.height * down), 1), max(round(box.width * across), 1)
    return Box(top, left, min(height, decoded[0] - top), min(width, decoded[1] - left))


def check_interpolation(name: str, training: bool) -> None:
    """Raise UserError for one that is not known."""
    known = (*FILTERS, RANDOM) if training else FILTERS
    if name not in known:
        raise UserError(f"transform.interpolation='{name}': expected {' or '.join(known)}")
