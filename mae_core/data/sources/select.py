"""A part of a source: images by list file, a seeded share, or so many of each class."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mae_core.data.sources.base import NO_LABEL, Source
from mae_core.data.sources.groups import whole_groups
from mae_core.errors import UserError

Indices = NDArray[np.int64]


class Selection:
    """The images `indices` of a source, with the classes, labels and groups of the whole."""

    def __init__(self, source: Source, indices: Indices) -> None:
        self.source = source
        self.indices = indices
        self.classes = source.classes
        self.labels = source.labels[indices]
        self.groups = None if source.groups is None else source.groups.only(indices)
        self.targets = None if source.targets is None else source.targets.only(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, index: int) -> str:
        """Where the image lies."""
        return self.source.name(self.indices[index])

    def read(self, index: int) -> bytes | NDArray[Any]:
        """The encoded file, or pixels."""
        return self.source.read(self.indices[index])


def listed(source: Source, data: str, list_file: Path) -> Indices:
    """The images that `list_file` names, in the order of the source; all rows of a table's image.

    Args:
        source: where they are.
        data: the source's own path, which its names begin with.
        list_file: text, a name in a line, with or without `data` before it, or the file's name
            alone where only one image has it, as in the published parts of ImageNet (SimCLR's and
            MSN's `imagenet_subsets`); blank lines and lines that begin with '#' say nothing.

    Raises:
        UserError: if the file is missing or no text, or names no image, one that is not there, or
            one of several.
    """
    lines = lines_of(list_file)
    numbers: dict[str, list[int]] = {}  # a table may name an image more than once
    for number in range(len(source)):
        numbers.setdefault(source.name(number).removeprefix(f"{data}/"), []).append(number)
    files: dict[str, str | None] | None = None
    chosen: set[int] = set()
    for place, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        name = line.removeprefix(f"{data}/")
        if name not in numbers and "/" not in name:
            files = by_file(numbers) if files is None else files
            whole = files.get(name, name)
            if whole is None:
                raise UserError(
                    f"{list_file}, line {place}: several images of {data} are called '{name}': "
                    "name their folder, too"
                )
            name = whole
        if name not in numbers:
            raise UserError(
                f"{list_file}, line {place}: {data} has no image '{name}'; "
                f"its names look like '{next(iter(numbers))}'"
            )
        chosen.update(numbers[name])
    if not chosen:
        raise UserError(f"the list {list_file} names no images")
    return np.array(sorted(chosen), dtype=np.int64)


def lines_of(list_file: Path) -> list[str]:
    """The lines of a list. Raises UserError if it cannot be read, or is no text."""
    try:
        text = list_file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"the list {list_file} cannot be read: {error.strerror}") from error
    if "\0" in text:
        raise UserError(f"the list {list_file} is no text: expected the name of an image in a line")
    return text.split("\n")


def by_file(names: Iterable[str]) -> dict[str, str | None]:
    """Names of images by those of their files; None where several have the same."""
    found: dict[str, str | None] = {}
    for name in names:
        file = name.rpartition("/")[2]
        found[file] = None if file in found else name
    return found


def share(count: int, part: Sequence[float], seed: int) -> Indices:
    """The numbers from `part[0]` to `part[1]` (in 0..1) of a seeded order of 0..count-1, sorted.

    Parts that meet share no number and leave none out.

    Raises:
        UserError: if `part` is no such range, or so small that it is empty.
    """
    start, stop = bounds(part)
    first, last = round(count * start), round(count * stop)
    if first == last:
        raise UserError(f"part={part} of {count} images is none: make the part larger")
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[first:last]).astype(np.int64)


def bounds(part: Sequence[float]) -> tuple[float, float]:
    """The two shares of `part`. Raises UserError unless it is a range in 0..1."""
    try:
        start, stop = map(float, part)
    except (TypeError, ValueError):
        start = stop = 0.0
    if not 0 <= start < stop <= 1:
        raise UserError(f"part={part}: expected two shares such as (0.0, 0.9), the first smaller")
    return start, stop


def share_of(source: Source, part: Sequence[float], seed: int) -> Indices:
    """As :func:`share` of the images of a source, or where it has groups, of whole groups.

    Raises:
        UserError: as :func:`share`.
    """
    if source.groups is None:
        return share(len(source), part, seed)
    chosen = whole_groups(source.groups, source.labels, bounds(part), seed)
    if not len(chosen):
        groups = len(np.unique(source.groups.of))
        raise UserError(
            f"part={part} of {groups:,} groups is none: make the part larger, or take another seed"
        )
    return chosen


def balanced(labels: NDArray[np.int64], classes: Sequence[str], count: int, seed: int) -> Indices:
    """`count` images of each class in a seeded choice without replacement, sorted.

    Args:
        labels: (N,), of the images to choose from; unlabelled ones are left out.
        classes: names by label, for messages.
        count: at least 1.
        seed: of the choice.

    Raises:
        UserError: if a class has fewer, or there are no labels.
    """
    rng = np.random.default_rng(seed)
    present = np.unique(labels[labels != NO_LABEL])
    if not len(present) or count < 1:
        raise UserError(f"per_class={count}: expected at least 1, and images with labels")
    chosen = []
    for label in present:
        members = np.flatnonzero(labels == label)
        if len(members) < count:
            raise UserError(
                f"{classes[label]} has {len(members)} images, per_class asks for {count}"
            )
        chosen.append(rng.choice(members, count, replace=False))
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def stratified(
    labels: NDArray[np.int64], classes: Sequence[str], part: float, seed: int
) -> Indices:
    """The same share of each class in a seeded choice without replacement, sorted.

    Args:
        labels: (N,), of the images to choose from; unlabelled ones are left out.
        classes: names by label, for messages.
        part: above 0, at most 1; rounded to whole images of each class.
        seed: of the choice.

    Raises:
        UserError: if `part` is no share, or rounds to no image of a class.
    """
    if not 0 < part <= 1:
        raise UserError(f"share={part}: expected above 0, at most 1")
    rng = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels[labels != NO_LABEL]):
        members = np.flatnonzero(labels == label)
        count = round(part * len(members))
        if count < 1:
            raise UserError(
                f"{part:.1%} of the {len(members)} images of {classes[label]} is none: choose a "
                "larger share"
            )
        chosen.append(rng.choice(members, count, replace=False))
    return np.sort(np.concatenate(chosen)).astype(np.int64)
