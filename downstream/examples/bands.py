"""Stacks of twelve bands from photos in colour: a camera of twelve filters that counts photons."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downstream.examples.draw import Picture, class_folders, drawn, rng_of
from mae_core.data.decode import open_image
from mae_core.data.each import read_stored
from mae_core.data.sources import open_source

BANDS = 12
DARK = 100.0  # photons that a closed shutter counts
FULL = (1_000.0, 40_000.0)  # photons of a white pixel in the faintest and in the brightest band
SUFFIX = ".tif"


def stacks(photos: str, images: int, seed: int) -> Iterator[Picture]:
    """(H, W, 12) uint16, in a folder for each class of the photos.

    Args:
        photos: see :func:`open_source`.
        images: how many; a seeded choice.
        seed: of the filters, the choice and the noise.

    Raises:
        UserError: if there are no photos, fewer than `images`, or one cannot be read.
    """
    source = open_source(photos)
    folders = class_folders(source)
    camera = filters(seed)
    for index in drawn(len(source), images, seed, f"photos in {photos}"):
        name = source.name(index)
        photo = open_image(read_stored(source, index), 3, name).pixels()
        stack = exposed(photo, camera, rng_of(seed, index))
        yield f"{folders[index]}{index:06d}{SUFFIX}", stack


def filters(seed: int) -> NDArray[np.float64]:
    """(3, 12): photons of each band for a red, a green and a blue of full light."""
    rng = rng_of(seed)
    response = rng.dirichlet((1, 1, 1), BANDS).T
    return response * rng.permutation(np.geomspace(*FULL, BANDS))


def exposed(
    photo: NDArray[Any], camera: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.uint16]:
    """What the camera counts of a photo (H, W, 3) uint8; its noise is that of the counting."""
    expected = DARK + linear(photo) @ camera
    return rng.poisson(expected).clip(0, np.iinfo(np.uint16).max).astype(np.uint16)


def linear(photo: NDArray[Any]) -> NDArray[np.float64]:
    """Light, 0 to 1, of the levels of an sRGB photo (IEC 61966-2-1)."""
    level = photo / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
