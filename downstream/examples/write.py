"""A worked example's data as files, by the name of the example."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from downstream.examples import bands, microscopy, rgbd, scenes, sounds
from mae_core.data.cache import atomic_folder, locked
from mae_core.data.tiff import library
from mae_core.errors import UserError
from mae_core.files import write_text

Progress = Callable[[int, int], None]
TABLE = "labels.csv"


class Example(NamedTuple):
    """How an example's images are made.

    Attributes:
        make: gives the path and the pixels of each, and what a table says of it; called with what
            `photos` asks for, their number and the seed.
        images: how many without being told.
        photos: what photos it needs, '' for none.
        columns: of the table `labels.csv`, the path first; () for none.
    """

    make: Callable[..., Iterator[tuple[Any, ...]]]
    images: int
    photos: str = ""
    columns: tuple[str, ...] = ()


EXAMPLES = {
    "bands": Example(bands.stacks, 3_000, "photos in colour with classes, such as cifar10/train"),
    "microscopy": Example(
        microscopy.tiles, 2_000, "a COCO JSON of nuclei, such as nuclei/instances_train.json"
    ),
    "rgbd": Example(rgbd.scenes, 3_000),
    "scenes": Example(scenes.scenes, 3_000, columns=scenes.COLUMNS),
    "sounds": Example(sounds.spectrograms, 1_800),
}


def write_example(
    name: str,
    folder: Path,
    photos: str | None = None,
    images: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> int:
    """Write the images of the example `name` below `folder`; equal arguments give equal files.

    Args:
        name: one of :data:`EXAMPLES`.
        folder: that is not there yet, or empty.
        photos: what they are made of, where the example needs any.
        images: how many, at least 1; the example's own number by default.
        seed: of all that is drawn, at least 0.
        progress: called with images done and images in all.

    Returns:
        How many were written.

    Raises:
        UserError: if an argument is wrong, or the photos are not as the example needs them.
    """
    if name not in EXAMPLES:
        raise UserError(f"example {name!r}: expected one of {', '.join(EXAMPLES)}")
    example = EXAMPLES[name]
    images = example.images if images is None else images
    make = example.make
    if example.photos and photos is None:
        raise UserError(f"example {name} is made of photos: name {example.photos}, by --photos")
    if not example.photos and photos is not None:
        raise UserError(f"--photos {photos}: example {name} is synthesised, leave it out")
    if photos is not None:
        make = partial(make, photos)
    with locked(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} is there already: delete it or name another folder")
        with atomic_folder(folder) as place:
            rows = [example.columns]
            for done, (path, pixels, *values) in enumerate(make(images, seed), start=1):
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                save(place / path, pixels)
                rows.append((path, *values))
                if progress:
                    progress(done, images)
            if example.columns:
                write_text(place / TABLE, as_csv(rows))
    return images


def as_csv(rows: Iterable[tuple[Any, ...]]) -> str:
    """A table as text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def save(path: Path, pixels: NDArray[Any]) -> None:
    """Write (H, W) or (H, W, C) as the path's suffix says."""
    if path.suffix == ".npy":
        np.save(path, pixels)
        return
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
        return
    layout = {"planarconfig": "contig"} if pixels.ndim == 3 else {}
    library(str(path)).imwrite(
        path, pixels, photometric="minisblack", metadata=None, compression="zlib", **layout
    )
