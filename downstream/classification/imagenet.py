"""What ImageNet's variants need: names of its classes, and AlexNet's errors under corruption."""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from timm.data import ImageNetInfo

from mae_core.errors import UserError

SEVERITIES = 5

# Mean error of AlexNet over the five severities (Hendrycks and Dietterich 2019, Table 3), which a
# corruption error is divided by.
ALEXNET = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}


def synsets() -> list[str]:
    """The names of ImageNet-1k's 1000 classes, such as 'n01440764', by label."""
    return list(ImageNetInfo("imagenet-1k").label_names())


def columns_of(found: Sequence[str], classes: Sequence[str], where: str) -> list[int]:
    """The label that a classifier of `classes` gives to each class that was found.

    Args:
        found: names of folders: the classifier's own names, or numbers of its classes, as in
            ImageNet-V2.
        classes: the classifier's, by label.
        where: the data, for messages.

    Raises:
        UserError: if one is neither.
    """
    number = {name: label for label, name in enumerate(classes)}
    if all(name in number for name in found):
        return [number[name] for name in found]
    if all(name.isdigit() and int(name) < len(classes) for name in found):
        return [int(name) for name in found]
    odd = next(name for name in found if name not in number)
    raise UserError(
        f"{where} has the class '{odd}', which is none of the classifier's {len(classes)} (such as "
        f"'{classes[0]}') and no number of one"
    )


class CorruptionGrid(NamedTuple):
    """Where the copies of each source image lie in a set of corrupted images.

    Attributes:
        names: the C corruptions.
        places: (C, S, N) int64, for each corruption, severity and source image its number in the
            set.
    """

    names: list[str]
    places: NDArray[np.int64]


def corruption_grid(paths: Iterable[str]) -> CorruptionGrid:
    """The grid of images at `.../<corruption>/<severity>/<class>/<file>`.

    Raises:
        UserError: if one of the 15 corruptions or a severity is missing, or the corruptions are not
            of the same images.
    """
    numbers: tuple[dict[str, int], ...] = ({}, {}, {})
    found = array("q")  # three an image: of ImageNet-C's millions a list would take a gigabyte
    severities: dict[str, set[str]] = {}
    for path in paths:
        parts = path.rsplit("/", 4)
        if len(parts) < 5:
            raise UserError(f"{path}: expected <corruption>/<severity>/<class>/<image>")
        _, corruption, severity, label, file = parts
        severities.setdefault(corruption, set()).add(severity)
        named = (corruption, severity, f"{label}/{file}")
        for number_of, name in zip(numbers, named, strict=True):
            found.append(number_of.setdefault(name, len(number_of)))
    check_corruptions(severities)
    codes = np.array(found, dtype=np.int64).reshape(-1, 3)
    order = np.lexsort(codes.T[::-1])
    shape = tuple(len(of) for of in numbers)
    whole = np.indices(shape).reshape(3, -1).T
    if codes.shape != whole.shape or not np.array_equal(codes[order], whole):
        raise UserError(
            f"{len(codes)} corrupted images are not the same {shape[2]} for each of {shape[0]} "
            f"corruptions and {shape[1]} severities: some are missing, or there twice"
        )
    return CorruptionGrid(list(numbers[0]), order.reshape(shape))


def check_corruptions(severities: Mapping[str, Collection[str]]) -> None:
    """Raise UserError if one of the 15 corruptions, or one of its severities, is missing."""
    lacking = sorted(set(ALEXNET) - set(severities))
    for name, found in severities.items():
        if name in ALEXNET and len(found) != SEVERITIES:
            lacking.append(name)
    if lacking:
        raise UserError(
            f"mCE needs all 15 corruptions at 5 severities; missing or short: {', '.join(lacking)}"
        )


def corruption_errors(errors: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """(N,) each source image's part of mCE, which is their mean: 1 is AlexNet's, less is better.

    mCE (Hendrycks and Dietterich 2019, 4.1) divides the error of each corruption, over its five
    severities, by AlexNet's, and takes the mean over the 15 corruptions.

    Args:
        errors: by corruption, (N,) share of the severities at which a source image is wrong; others
            than the 15 do not count.
    """
    parts = [errors[name] / alexnet for name, alexnet in ALEXNET.items()]
    return np.mean(parts, axis=0)
