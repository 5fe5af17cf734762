"""What a data set holds: every image is decoded once."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mae_core.data.decode import ArrayImage, PillowImage, Unreadable, bits_used, open_image
from mae_core.data.each import Progress, each_image, read_stored
from mae_core.data.sources import NO_LABEL, Source, data_digest, open_source


class Checked(NamedTuple):
    """A data set's images.

    Attributes:
        images: how many, readable or not.
        sizes: (M, 2) int64, height and width of the readable ones, the right way up.
        kinds: readable images by format and mode of Pillow, such as 'JPEG RGB', most first.
        classes: images by class, readable or not, in the order of the labels.
        unlabelled: images without label.
        digest: SHA-256 of the data, see :func:`data_digest`.
        unreadable: why each of the others could not be read.
        groups: how many there are, such as patients; None where they are not known.
    """

    images: int
    sizes: NDArray[np.int64]
    kinds: dict[str, int]
    classes: dict[str, int]
    unlabelled: int
    digest: str
    unreadable: list[str]
    groups: int | None = None


class Finding(NamedTuple):
    """One image: its size and kind, or why it cannot be read."""

    size: tuple[int, int] = (0, 0)
    kind: str = ""
    reason: str = ""


def check(
    data: str,
    progress: Progress | None = None,
    workers: int | None = None,
    meaning: Mapping[str, Any] | None = None,
) -> Checked:
    """Read and decode all images of `data`.

    Args:
        data: see :func:`open_source`.
        progress: called with images done and images in all.
        workers: processes; one a core by default.
        meaning: `split`, `columns`, `root` and `group` of :func:`open_source`.

    Raises:
        UserError: as `open_source` does.
    """
    meaning = meaning or {}
    source = open_source(data, **meaning)
    sizes, kinds, unreadable = [], [], []
    for finding in each_image(source, look, workers, progress):
        if finding.reason:
            unreadable.append(finding.reason)
        else:
            sizes.append(finding.size)
            kinds.append(finding.kind)
    counts = Counter(source.labels.tolist())
    return Checked(
        images=len(source),
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        kinds=dict(Counter(kinds).most_common()),
        classes={name: counts[label] for label, name in enumerate(source.classes)},
        unlabelled=counts[NO_LABEL],
        digest=data_digest(data, meaning.get("columns"), meaning.get("root")),
        unreadable=unreadable,
        groups=None if source.groups is None else len(np.unique(source.groups.of)),
    )


def look(source: Source, index: int) -> Finding:
    """Decode one image."""
    name = source.name(index)
    try:
        data = read_stored(source, index)
        if not isinstance(data, bytes):
            channels = data.shape[2] if data.ndim == 3 else 1
            return Finding(ArrayImage(data, channels, name).size, f"array, {channels} channels")
        header = PillowImage(data, 3, name)
        opened = open_image(data, 3, name)
        opened.pixels()
        used = f", {bits_used(header.deep())} bits used" if header.is_deep else ""
    except Unreadable as error:
        return Finding(reason=str(error))
    return Finding(opened.size, f"{header.image.format} {header.image.mode}{used}")
