"""What ImageNet's variants need: names of its classes, and AlexNet's errors under corruption."""

from collections.abc import Mapping, Sequence

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


def mean_corruption_error(errors: Mapping[str, Sequence[float]]) -> float:
    """mCE (Hendrycks and Dietterich 2019, 4.1): 1 is AlexNet's, less is better.

    Args:
        errors: by corruption, the error (0 to 1) at each of the five severities; others than the
            15 do not count.

    Raises:
        UserError: if one of the 15 corruptions, or a severity, is missing.
    """
    missing = sorted(set(ALEXNET) - set(errors))
    short = [n for n, values in errors.items() if n in ALEXNET and len(values) != SEVERITIES]
    if missing or short:
        raise UserError(
            f"mCE needs all 15 corruptions at 5 severities; missing or short: "
            f"{', '.join([*missing, *short])}"
        )
    ratios = [sum(errors[name]) / (SEVERITIES * error) for name, error in ALEXNET.items()]
    return sum(ratios) / len(ratios)
