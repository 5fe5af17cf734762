"""Annotated images decoded once before training, by as many threads as there are cores."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from joblib import cpu_count

from downstream.dense.entries import Entry
from downstream.dense.values import plain
from mae_core.data.decode import Unreadable, open_image

THREADS = 8  # at most; each may hold an image of MAX_PIXELS


def picture_faults(images: Sequence[Entry], folder: Path) -> list[str]:
    """Which images cannot be decoded or are of another size than the annotations say.

    Args:
        images: of a :class:`Coco`.
        folder: that their file names are below.
    """
    with ThreadPoolExecutor(min(THREADS, cpu_count())) as pool:
        found: Iterable[str] = pool.map(lambda image: picture_fault(image, folder), images)
        return [fault for fault in found if fault]


def picture_fault(image: Entry, folder: Path) -> str:
    """What is wrong with one image, or nothing."""
    path, told = folder / image["file_name"], (image["height"], image["width"])
    try:
        opened = open_image(path.read_bytes(), 3, str(path))
        opened.pixels()
    except (Unreadable, OSError) as error:
        return plain(str(error))
    if opened.size == told:
        return ""
    turned = " (as it is shown, turned by its EXIF data)" if opened.size == told[::-1] else ""
    size, says = f"{opened.size[1]}×{opened.size[0]} pixels", f"{told[1]}×{told[0]}"
    return f"{plain(str(path))} is {size}{turned}, the annotations say {says}"
