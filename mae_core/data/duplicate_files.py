"""What a search for duplicates leaves behind: the pairs, a picture of some, and a list without."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mae_core.data.decode import Pixels
from mae_core.data.duplicates import Scanned, Shared, kind
from mae_core.data.likeness import Pairs
from mae_core.files import write_bytes, write_text
from mae_core.notices import say
from mae_core.plots import new_figure, save_figure

COLUMNS = 6  # pairs side by side in the picture
SHOWN = 6 * COLUMNS  # of a set
SIDE, GAP = 96, 4  # pixels of an image in it, and between two

TABLE, NAMES, PICTURE = "pairs.csv", "names.txt", "pairs.png"


def write_table(path: Path, one: Scanned, found: Sequence[Shared]) -> None:
    """Write all pairs as CSV, by set: kind, similarity, and both names."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["kind", "similarity", "image", "duplicate_of", "in"])
    for shared in found:
        for pair in shared.pairs:
            names = one.source.name(pair["one"]), shared.other.source.name(pair["other"])
            table.writerow([kind(pair), f"{pair['similarity']:.3f}", *names, shared.name])
    write_text(path, text.getvalue())


def write_names(path: Path, one: Scanned, keep: NDArray[np.bool_], place: str) -> None:
    """Write the names of the images to keep, as `names_in` of a data set takes them.

    Args:
        path: of the list.
        one: the data set.
        keep: (N,) which of its images.
        place: what its names begin with, see `place_of`.
    """
    lines = [f"# {keep.sum():,} of {len(keep):,} images of {place}, without duplicates"]
    broken = 0
    for index in np.flatnonzero(keep):
        name = one.source.name(int(index))
        if len(name.splitlines()) > 1:
            broken += 1
            continue
        short = name.removeprefix(f"{place}/")
        plain = short == short.strip() and not short.startswith("#")  # else it is no name in a list
        lines.append(short if plain else name)
    if broken:
        say(f"{path}: {broken:,} images are left out, as their names have line breaks")
    write_bytes(path, os.fsencode("\n".join(lines) + "\n"))


def draw(path: Path, one: Scanned, found: Sequence[Shared]) -> bool:
    """Draw pairs that are not exact side by side; whether there are any.

    By set, from the most to the least alike; of many, some evenly. Without any, an earlier picture
    is taken away.

    Args:
        path: .png.
        one: the set that all pairs have an image of.
        found: what it has in common with others.
    """
    path.unlink(missing_ok=True)
    shown = [(shared, chosen(shared.pairs)) for shared in found if not shared.pairs["exact"].all()]
    if not shown:
        return False
    heights = [-(-len(pairs) // COLUMNS) for _, pairs in shown]
    figure = new_figure(2.2 * COLUMNS, 1.3 * sum(heights) + 0.4 * len(shown))
    parts = figure.subfigures(len(shown), squeeze=False, height_ratios=heights)
    for part, (shared, pairs), height in zip(parts.flat, shown, heights, strict=True):
        part.suptitle(f"in {shared.name}", fontsize=9, x=0.01, ha="left")
        axes = part.subplots(height, COLUMNS, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for axis, pair in zip(axes.flat, pairs, strict=False):
            axis.imshow(side_by_side(one, shared.other, pair), interpolation="nearest")
            axis.set_title(f"{kind(pair)} {pair['similarity']:.3f}", fontsize=8)
    save_figure(figure, path, dpi=100)
    return True


def chosen(pairs: Pairs) -> Pairs:
    """At most `SHOWN` that are not exact, evenly from the most to the least alike."""
    near = pairs[~pairs["exact"]]
    ordered = near[np.argsort(-near["similarity"], kind="stable")]
    places = np.linspace(0, len(ordered) - 1, min(SHOWN, len(ordered)))
    return ordered[places.round().astype(int)]


def side_by_side(one: Scanned, other: Scanned, pair: np.void) -> Pixels:
    """(SIDE, 2 * SIDE + GAP, 3), both images of a pair."""
    left = in_square(one.pixels(pair["one"]))
    right = in_square(other.pixels(pair["other"]))
    gap = np.full((SIDE, GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def in_square(pixels: Pixels) -> Pixels:
    """(SIDE, SIDE, 3), the image (H, W, C) as large as fits, grey of other than three channels."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    colours = pixels if pixels.shape[2] == 3 else np.repeat(pixels[..., :1], 3, axis=2)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    square = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = cv2.resize(
        colours, size, interpolation=method
    )
    return square
