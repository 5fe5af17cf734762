"""What every source of images has, and how names are ordered and become labels."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mae_core.data.sources.targets import Targets
from mae_core.errors import UserError
from mae_core.notices import counted, printable, say

NO_LABEL = -1
MAX_CLASSES = 1 << 20  # a larger number is no class but something else, an id or a hash

# Of images. Not timm's list, as timm takes seconds to import.
SUFFIXES = (
    ".bmp",
    ".dcm",
    ".gif",
    ".jfif",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
ARRAY = ".npy"  # an image, too, where there are no others: beside them it is something else
PACKED = f".image{ARRAY}"  # of arrays in shards that `data pack` wrote: an image anywhere
ZARR = ".zarr"  # of a folder that is an image, where there are no others


@dataclass(frozen=True)
class Groups:
    """The group of each image.

    Attributes:
        names: of the groups, by number; '' of an image that is a group of its own.
        of: (N,) int64, the number of each image's group.
    """

    names: list[str]
    of: NDArray[np.int64]

    def only(self, indices: NDArray[np.int64]) -> "Groups":
        """Those of the images `indices`, with the numbers that they have."""
        return Groups(self.names, self.of[indices])

    def present(self) -> set[str]:
        """The names of the groups that have an image here."""
        return {self.names[number] for number in np.unique(self.of)} - {""}


class Source(Protocol):
    """Images by number.

    A source holds names and labels as NumPy arrays, which worker processes share, and opens
    files where it reads them, so that it can be pickled and forked at any time.

    Attributes:
        classes: names by label; empty without labels.
        labels: (N,) int64, `NO_LABEL` where there is none.
        groups: what images belong together, such as those of a patient; None where that is not
            known.
        targets: of images that have several labels or a number; then they have no classes, and no
            label. None without.
    """

    classes: list[str]
    labels: NDArray[np.int64]
    groups: Groups | None
    targets: Targets | None

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Where the image lies: the data's own path, a slash, and its name inside."""

    def read(self, index: int) -> bytes | NDArray[Any]:
        """The encoded file, or pixels (H, W) or (H, W, C)."""


def is_image(name: str, suffixes: Sequence[str] = SUFFIXES) -> bool:
    """Whether the path `name` has the suffix of an image, and no hidden part."""
    if is_hidden(name):
        return False
    return os.path.splitext(name)[1].lower() in suffixes or name.lower().endswith(PACKED)


def suffixes_among(names: Iterable[str]) -> tuple[str, ...]:
    """The suffixes that images have among files: `SUFFIXES`, or where no file has those arrays'."""
    arrays = False
    for name in names:
        if is_image(name):
            return SUFFIXES
        arrays = arrays or is_image(name, (ARRAY, ZARR))
    return (ARRAY, ZARR) if arrays else SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a part of the path `name` begins with a dot."""
    return name.startswith(".") or "/." in name


def no_images(path: Path, others: Mapping[str, int]) -> UserError:
    """The error of a place that should hold images, and holds `others`, see :func:`left_out`."""
    found = f"; it holds {counted(others)}" if others else ""
    return UserError(
        f"{path} holds no images; known are {' '.join((*SUFFIXES, ARRAY, ZARR))}{found}"
    )


def no_labels(count: int) -> NDArray[np.int64]:
    """(N,) of :data:`NO_LABEL`."""
    return np.full(count, NO_LABEL, dtype=np.int64)


def natural(name: str) -> tuple[list[str | int], str]:
    """Key of the natural order, '2' before '10'; it leaves no two names equal.

    The order is timm's, whose `natural_key` fails on characters such as '²'.
    """
    parts: list[str | int] = list(re.split(r"(\d+)", name.lower()))
    for place in range(1, len(parts), 2):  # where split puts what its group matched
        parts[place] = int(parts[place])
    return parts, name


def packed(names: Sequence[str]) -> NDArray[np.bytes_]:
    """File names as one array (N,) of bytes; `os.fsdecode` gives them back."""
    return np.array([os.fsencode(name) for name in names], dtype=np.bytes_)


def labels_by_folder(names: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Classes and labels (N,) of paths: the folder an image lies in, none at the top.

    A class is named by its folder, or by the folder's path where two folders have one name:
    `cat/2019` and `dog/2019` are no class '2019'.
    """
    folders = [os.path.dirname(name) for name in names]
    different = set(folders)
    unique = len({os.path.basename(folder) for folder in different}) == len(different)
    named = {}
    for folder in different:
        named[folder] = printable(os.path.basename(folder) if unique else folder)
    return labels_by_name([named[folder] for folder in folders])


def same_names(classes: Sequence[str]) -> list[str]:
    """The classes that are named by their paths since another has the same folder name."""
    counts = Counter(os.path.basename(name) for name in classes)
    return [name for name in classes if "/" in name and counts[os.path.basename(name)] > 1]


def left_out(names: Iterable[str], suffixes: Sequence[str] = SUFFIXES) -> dict[str, int]:
    """How many files there are of each kind that is no image's, hidden ones aside."""
    counts: Counter[str] = Counter()
    for name in names:
        if not is_image(name, suffixes) and not is_hidden(name):
            counts[os.path.splitext(name)[1].lower() or "without suffix"] += 1
    return dict(counts)


def tell_left_out(counts: Mapping[str, int], of: object) -> None:
    """Say what is in a place and is not taken, if there is anything."""
    if counts:
        say(f"{of}: left out, as they are no images of a kind that is read: {counted(counts)}")


def labels_by_name(values: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Classes in natural order and labels (N,); an empty name is `NO_LABEL`."""
    classes = sorted(set(values) - {""}, key=natural)
    number = {name: label for label, name in enumerate(classes)} | {"": NO_LABEL}
    return classes, np.array([number[value] for value in values], dtype=np.int64)


def one_number(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two of `names` that are one number, such as '7' and '07', or None.

    Numbers are plain decimals: '1e2' and 'inf' may be parts of a hash, or words.
    """
    known: dict[Decimal, str] = {}
    for name in names:
        if DECIMAL.fullmatch(name):
            first = known.setdefault(Decimal(name), name)
            if first != name:
                return first, name
    return None


def one_but_for_capitals(names: Iterable[str]) -> list[str]:
    """Those of different `names` that another one equals but for capitals."""
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(name.casefold(), []).append(name)
    return [name for alike in folded.values() if len(alike) > 1 for name in alike]


def labels_by_number(values: NDArray[np.integer], of: str) -> tuple[list[str], NDArray[np.int64]]:
    """Classes '0' to the largest, and the labels (N,) themselves; negative is `NO_LABEL`.

    Raises:
        UserError: if a number is no label of a class; `of` names the data.
    """
    labels = np.maximum(values.astype(np.int64), NO_LABEL)
    largest = int(labels.max(initial=NO_LABEL))
    if largest >= MAX_CLASSES:
        raise UserError(f"{of} has the label {largest}: expected class numbers from 0")
    return [str(label) for label in range(largest + 1)], labels
