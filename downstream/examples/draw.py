"""What the makers of example data share: names and pixels, seeded choices."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mae_core.data.sources import NO_LABEL, Source
from mae_core.errors import UserError

Picture = tuple[str, NDArray[Any]]  # path below the folder, with suffix; (H, W) or (H, W, C)
FOLDER = re.compile(r"\w[\w .-]*")


def rng_of(seed: int, *place: int) -> np.random.Generator:
    """A generator for one thing, so that it does not depend on how many others there are."""
    return np.random.default_rng([seed, *place])


def drawn(found: int, wanted: int, seed: int, what: str) -> list[int]:
    """`wanted` of `found` numbers, a seeded choice in rising order.

    Raises:
        UserError: if there are fewer.
    """
    if wanted > found:
        raise UserError(f"{wanted:,} images are wanted, but there are {found:,} {what}: --images")
    chosen: list[int] = sorted(rng_of(seed).permutation(found)[:wanted].tolist())
    return chosen


def class_folders(source: Source) -> Sequence[str]:
    """`<class>/` of each image, its number where the name would be no folder's; '' without one."""
    places = []
    for label, name in enumerate(source.classes):
        places.append(f"{name}/" if FOLDER.fullmatch(name) else f"{label}/")
    return ["" if label == NO_LABEL else places[label] for label in source.labels]
