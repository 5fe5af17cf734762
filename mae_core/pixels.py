"""The mean and deviation that images are normalised with: those an encoder was trained with."""

import json
import math
import os
from pathlib import Path
from typing import Any, TypeGuard

from mae_core.errors import UserError
from mae_core.reading import IN_FOLDER, read_metadata, weights_file
from mae_core.stage import Reporter

Pixels = dict[str, list[float]]  # `mean` and `std`, one number a channel, in 0 to 255
PROTOCOL = "protocol"  # key of a stage's config: whose preprocessing counts
OWN, SAME_FOR_ALL = "own", "same"  # its values: the weights', or the config's for all
SAME = 1e-3  # of a level: printed with fewer digits, the same numbers


def stated_pixels(path: str | os.PathLike[str]) -> Pixels | None:
    """What an encoder's file says of the pixels that it was trained with; None if nothing.

    In the metadata of our files, or, of a folder of transformers or timm, beside the weights.

    Raises:
        UserError: if it is no mean and deviation above 0 for each channel.
    """
    found = read_metadata(path).get("pixels") or pixels_beside(path)
    if found is None:
        return None
    fields = found if isinstance(found, dict) else {}
    mean, std = fields.get("mean"), fields.get("std")
    if not (are_numbers(mean) and are_numbers(std) and len(mean) == len(std) and min(std) > 0):
        raise UserError(
            f"{path} says it was trained with pixels={found!r}: expected `mean` and `std`, as many "
            "numbers, the second above 0"
        )
    return {"mean": list(map(float, mean)), "std": list(map(float, std))}


def pixels_beside(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """`mean` and `std` from the files beside a folder's weights, unchecked; None without any.

    Transformers write `image_mean` and `image_std` into `preprocessor_config.json`, timm `mean` and
    `std` into the part `pretrained_cfg` of `config.json`; both in 0 to 1.
    """
    path = weights_file(path)
    if path.name not in IN_FOLDER:
        return None
    transformers = read_object(path.with_name("preprocessor_config.json"))
    timm = read_object(path.with_name("config.json")).get("pretrained_cfg")
    for fields, names in ((transformers, ("image_mean", "image_std")), (timm, ("mean", "std"))):
        values: list[Any] = [fields.get(n) for n in names] if isinstance(fields, dict) else []
        if values and all(are_numbers(value) for value in values):
            return dict(zip(("mean", "std"), ([255 * n for n in v] for v in values), strict=True))
    return None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty if there is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def are_numbers(values: Any) -> TypeGuard[list[float]]:
    """Whether it is a list of finite numbers, with at least one."""
    if not isinstance(values, list | tuple) or not values:
        return False
    plain = (isinstance(n, int | float) and not isinstance(n, bool) for n in values)
    return all(plain) and all(map(math.isfinite, values))


def same(one: Pixels, other: Pixels) -> bool:
    """Whether both are the same but for rounding."""
    return all(
        len(one[key]) == len(other[key])
        and all(math.isclose(a, b, abs_tol=SAME) for a, b in zip(one[key], other[key], strict=True))
        for key in ("mean", "std")
    )


def told(pixels: Pixels) -> str:
    """'mean 127.5, 127.5, 127.5 and deviation 127.5, 127.5, 127.5'."""
    mean, std = (", ".join(f"{n:.6g}" for n in pixels[key]) for key in ("mean", "std"))
    return f"mean {mean} and deviation {std}"


def tell(reporter: Reporter | None, text: str) -> None:
    """Note `text`, if there is somebody to note it."""
    if reporter is not None:
        reporter.note(text)
