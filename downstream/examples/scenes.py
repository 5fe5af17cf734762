"""Garments laid over each other: which kinds are there, and how much of the picture they cover?"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from downstream.examples.draw import rng_of
from mae_core.data.demo import garments
from mae_core.data.demo.scenes import KINDS, generate_scenes

CANVAS = 60  # pixels a side
COLUMNS = ("path", "garments", "area")
Row = tuple[str, NDArray[np.uint8], str, int]


def scenes(images: int, seed: int) -> Iterator[Row]:
    """(60, 60) uint8 with the kinds of garments that are seen, and their visible pixels together.

    Garments are Fashion-MNIST's photos, laid over each other as in the demo.

    Args:
        images: how many.
        seed: of all that is drawn.

    Raises:
        UserError: if Fashion-MNIST cannot be had.
    """
    split, kinds = garments.load(garments.locate())["train"], list(KINDS)
    for index, scene in enumerate(generate_scenes(split, images, CANVAS, rng_of(seed))):
        seen = sorted({instance.label for instance in scene.instances})
        area = sum(int(instance.mask.sum()) for instance in scene.instances)
        yield f"{index:06d}.png", scene.image, "|".join(kinds[label] for label in seen), area
