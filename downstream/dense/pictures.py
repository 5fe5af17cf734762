"""Annotated images decoded once before training, by as many threads as there are cores."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from joblib import cpu_count

from downstream.dense.entries import Entry
from downstream.dense.values import plain
from mae_core.data.decode import Size, Unreadable, open_file

THREADS = 8  # at most; each may hold an image of MAX_PIXELS

Item = TypeVar("Item")
Result = TypeVar("Result")


def of_each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`function` of every item, in their order, by several threads."""
    with ThreadPoolExecutor(min(THREADS, cpu_count())) as pool:
        return list(pool.map(function, items))


def decoded_size(path: Path) -> Size:
    """Height and width of an image, all of which was decoded. Raises Unreadable if it cannot be."""
    opened = open_file(path)
    opened.pixels()
    return opened.size


def picture_faults(images: Sequence[Entry], folder: Path) -> list[str]:
    """Which images cannot be decoded or are of another size than the annotations say.

    Args:
        images: of a :class:`Coco`.
        folder: that their file names are below.
    """
    found = of_each(lambda image: picture_fault(image, folder), images)
    return [fault for fault in found if fault]


def picture_fault(image: Entry, folder: Path) -> str:
    """What is wrong with one image, or nothing."""
    path, told = folder / image["file_name"], (image["height"], image["width"])
    try:
        size = decoded_size(path)
    except Unreadable as error:
        return plain(str(error))
    if size == told:
        return ""
    turned = " (as it is shown, turned by its EXIF data)" if size == told[::-1] else ""
    found, says = f"{size[1]}×{size[0]} pixels", f"{told[1]}×{told[0]}"
    return f"{plain(str(path))} is {found}{turned}, the annotations say {says}"
