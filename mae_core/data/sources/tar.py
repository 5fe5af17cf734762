"""Images inside uncompressed tar files, read in place."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mae_core.data.sources.base import (
    NO_LABEL,
    Groups,
    is_image,
    labels_by_folder,
    labels_by_name,
    labels_by_number,
    left_out,
    natural,
    no_images,
    no_labels,
    suffixes_among,
    tell_left_out,
)
from mae_core.data.sources.packed_targets import ABOUT, targets_from
from mae_core.data.sources.tar_index import TarIndex, tar_index
from mae_core.data.sources.targets import Targets
from mae_core.errors import UserError

OPEN_FILES = 256  # of one process; systems allow 1,024 and more


class TarSource:
    """The images in tar files, in natural order of their names inside.

    Where members `<key>.cls` exist, they hold the classes: numbers from 0, or names; `<key>` is
    an image's path up to the first dot of its file name. Otherwise the class is the folder. What
    `mae-bench data pack` writes may have several labels or a number of each image in their place.

    Args:
        shards: the files; how images are spread over them does not matter.

    Raises:
        UserError: if a file is damaged or cut off, or there are no images.
    """

    groups: Groups | None = None

    def __init__(self, shards: Sequence[Path]) -> None:
        indices = [tar_index(shard) for shard in shards]
        names: list[str] = []
        for index in indices:
            names += [os.fsdecode(name) for name in index.names]
        place = shards[0] if len(shards) == 1 else shards[0].parent
        suffixes = suffixes_among(names)  # of all shards together
        others = _others(indices, left_out(names, suffixes))
        keys = {i: natural(name) for i, name in enumerate(names) if is_image(name, suffixes)}
        if not keys:
            raise no_images(place, others)
        tell_left_out(others, place)
        order = np.array(sorted(keys, key=keys.__getitem__))
        self.files = [str(shard) for shard in shards]
        self.names = np.concatenate([index.names for index in indices])[order]
        self.shards = np.repeat(np.arange(len(shards)), [len(i.names) for i in indices])[order]
        self.places = np.concatenate([index.places for index in indices])[order]
        texts = np.concatenate([index.classes for index in indices])[order]
        kept = np.concatenate([index.targets for index in indices])[order]
        self.targets = _targets([index for index in indices if len(index.names)], kept, place)
        self.classes: list[str] = []
        self.labels = no_labels(len(order))
        if self.targets is not None:
            return
        if (texts != b"").any():
            self.classes, self.labels = _stated(texts, self.files[0])
        else:
            self.classes, self.labels = labels_by_folder([names[i] for i in order])

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The tar file's path, a slash, and the member's name."""
        return f"{self.files[self.shards[index]]}/{os.fsdecode(self.names[index])}"

    def read(self, index: int) -> bytes:
        """The member's content; less, if the file was cut off since it was opened."""
        offset, size = self.places[index].tolist()
        file = _opened(self.files[self.shards[index]])
        return os.pread(file.fileno(), size, offset)


@lru_cache(OPEN_FILES)
def _opened(path: str) -> BinaryIO:
    """The file, kept open in this process; `os.pread` needs no position, so forks may share it."""
    return open(path, "rb", buffering=0)


def _others(indices: Sequence[TarIndex], arrays: Mapping[str, int]) -> dict[str, int]:
    """How many members of each kind that is no image's all tar files have, and such `arrays`."""
    counts: Counter[str] = Counter(arrays)
    for index in indices:
        for kind, count in zip(index.others, index.counts.tolist(), strict=True):
            counts[os.fsdecode(kind)] += count
    return dict(counts)


def _targets(indices: Sequence[TarIndex], texts: NDArray[np.bytes_], place: Path) -> Targets | None:
    """What the shards were packed with, which is the same in all of them."""
    abouts = {os.fsdecode(index.about[0]) for index in indices}
    if len(abouts) > 1:
        raise UserError(
            f"{place} holds shards that differ in what their images are labelled with ({ABOUT}): "
            "keep those of one mae-bench data pack"
        )
    (about,) = abouts
    if not about:
        return None
    return targets_from(about, [os.fsdecode(text) for text in texts], str(place))


def _stated(texts: NDArray[np.bytes_], of: str) -> tuple[list[str], NDArray[np.int64]]:
    values = [os.fsdecode(text) for text in texts]
    if not all(value.isdecimal() or not value for value in values):
        return labels_by_name(values)
    numbers = [int(value) if value else NO_LABEL for value in values]
    return labels_by_number(np.array(numbers), of)
