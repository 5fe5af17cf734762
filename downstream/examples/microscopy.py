"""Tiles of photos of nuclei as a scientific camera of 16 bits would store them."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.dense.coco import Coco, read_coco
from downstream.dense.faults import images_of
from downstream.examples.draw import Picture, drawn, rng_of
from mae_core.data.decode import open_file

SIDE = 96  # pixels of a tile
MANY = 3  # nuclei of a tile, by the centres of their boxes, from which on it has many
# A camera of the kind called sCMOS: its black level, the levels of an electron, the deviation of
# its reading in electrons, and the electrons of a white pixel of the photo.
OFFSET, GAIN, READ_NOISE, WHITE = 100.0, 2.17, 1.6, 2_000.0
SUFFIX = ".tif"


class Tile(NamedTuple):
    """A square of a photo.

    Attributes:
        photo: a place in the file's images.
        row, column: of its first pixel.
        nuclei: whose box has its centre in it.
    """

    photo: int
    row: int
    column: int
    nuclei: int


def tiles(photos: str, images: int, seed: int) -> Iterator[Picture]:
    """(96, 96) uint16, in the folders `few` and `many`, named `<photo>_<row>_<column>.tif`.

    Args:
        photos: a COCO JSON of nuclei, beside the folder with its images.
        images: how many tiles; a seeded choice.
        seed: of the choice and the noise.

    Raises:
        UserError: if the JSON or an image is missing or has faults, or there are fewer tiles.
    """
    path = Path(photos).expanduser()
    folder = images_of(path)
    content = read_coco(path, folder)
    found = list(cut(content))
    chosen = [found[i] for i in drawn(len(found), images, seed, f"tiles in {photos}")]
    for photo, tiles_of_it in groupby(chosen, key=lambda tile: tile.photo):
        file = content.images[photo]["file_name"]
        grey = open_file(folder / file, 1).pixels()[..., 0]
        for _, row, column, nuclei in tiles_of_it:
            light = grey[row : row + SIDE, column : column + SIDE]
            name = f"{'many' if nuclei >= MANY else 'few'}/{photo:05d}_{row:04d}_{column:04d}"
            yield name + SUFFIX, recorded(light, rng_of(seed, photo, row, column))


def cut(content: Coco) -> Iterator[Tile]:
    """The whole tiles of each photo, side by side."""
    places = {image["id"]: place for place, image in enumerate(content.images)}
    counts: dict[tuple[int, int, int], int] = {}
    for entry in content.annotations:
        left, top, width, height = entry["bbox"]
        row, column = (int(middle // SIDE) for middle in (top + height / 2, left + width / 2))
        key = (places[entry["image_id"]], row, column)
        counts[key] = counts.get(key, 0) + 1
    for place, image in enumerate(content.images):
        for row in range(image["height"] // SIDE):
            for column in range(image["width"] // SIDE):
                nuclei = counts.get((place, row, column), 0)
                yield Tile(place, row * SIDE, column * SIDE, nuclei)


def recorded(light: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint16]:
    """What the camera stores of light (H, W) uint8: shot noise, then that of the reading."""
    electrons = rng.poisson(light / 255 * WHITE) + rng.normal(0, READ_NOISE, light.shape)
    levels = (OFFSET + GAIN * electrons).round()
    return levels.clip(0, np.iinfo(np.uint16).max).astype(np.uint16)
