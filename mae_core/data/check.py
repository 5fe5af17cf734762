"""What a data set holds: every image is decoded once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mae_core.data.bands import Bands
from mae_core.data.decode import (
    ArrayImage,
    PillowImage,
    Unreadable,
    is_dicom,
    open_image,
)
from mae_core.data.each import Progress, each_image, read_stored
from mae_core.data.picture import bits_used
from mae_core.data.sources import NO_LABEL, Source, data_digest, open_source
from mae_core.data.sources.targets import Targets
from mae_core.data.stored import read_raster


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
        filled: numbers that were missing and filled, over all images.
        groups: how many there are, such as patients; None where they are not known.
        targets: of the images, readable or not, where these are no classes.
    """

    images: int
    sizes: NDArray[np.int64]
    kinds: dict[str, int]
    classes: dict[str, int]
    unlabelled: int
    digest: str
    unreadable: list[str]
    filled: int
    groups: int | None = None
    targets: Targets | None = None


class Finding(NamedTuple):
    """One image: its size, kind and channels, or why it cannot be read."""

    size: tuple[int, int] = (0, 0)
    kind: str = ""
    reason: str = ""
    name: str = ""
    channels: int = 0
    filled: int = 0


def check(
    data: str,
    progress: Progress | None = None,
    workers: int | None = None,
    bands: Bands | None = None,
    meaning: Mapping[str, Any] | None = None,
) -> Checked:
    """Read and decode all images of `data`.

    Args:
        data: see :func:`open_source`.
        progress: called with images done and images in all.
        workers: processes; one a core by default.
        bands: read pixels as they are stored; all images must have as many.
        meaning: `split`, `columns`, `root`, `group` and `unit` of :func:`open_source`.

    Raises:
        UserError: as `open_source` does.
    """
    meaning = meaning or {}
    source = open_source(data, **meaning)
    readable, unreadable, filled = [], [], 0
    one = look if bands is None else partial(look_at_bands, bands=bands)
    for finding in each_image(source, one, workers, progress):
        filled += finding.filled
        if finding.reason:
            unreadable.append(finding.reason)
        else:
            readable.append(finding)
    if bands is not None:
        unreadable += odd_ones(readable)
    counts = Counter(source.labels.tolist())
    return Checked(
        images=len(source),
        sizes=np.array([each.size for each in readable], dtype=np.int64).reshape(-1, 2),
        kinds=dict(Counter(each.kind for each in readable).most_common()),
        classes={name: counts[label] for label, name in enumerate(source.classes)},
        unlabelled=counts[NO_LABEL],
        digest=data_digest(data, meaning.get("columns"), meaning.get("root")),
        unreadable=unreadable,
        filled=filled,
        groups=None if source.groups is None else len(np.unique(source.groups.of)),
        targets=source.targets,
    )


def look(source: Source, index: int) -> Finding:
    """Decode one image."""
    name = source.name(index)
    try:
        data = read_stored(source, index)
        if not isinstance(data, bytes):
            channels = data.shape[2] if data.ndim == 3 else 1
            return Finding(ArrayImage(data, channels, name).size, f"array, {channels} channels")
        opened = open_image(data, 3, name)
        opened.pixels()
        if is_dicom(data):
            return Finding(opened.size, "DICOM by its window")
        header = PillowImage(data, 3, name)
        used = f", {bits_used(header.deep())} bits used" if header.is_deep else ""
    except Unreadable as error:
        return Finding(reason=str(error))
    pages = ", the first of several pages or frames" if header.has_pages else ""
    return Finding(opened.size, f"{header.image.format} {header.image.mode}{used}{pages}")


def look_at_bands(source: Source, index: int, bands: Bands) -> Finding:
    """Read one image as it is stored."""
    name = source.name(index)
    try:
        raster = read_raster(read_stored(source, index), name)
        values, filled = bands.values(raster, name)
    except Unreadable as error:
        return Finding(reason=str(error))
    height, width, channels = raster.pixels.shape
    kind = f"{raster.kind}, {channels} band{'s' if channels > 1 else ''}"
    return Finding((height, width), kind, "", name, values.shape[2], filled)


def odd_ones(findings: Sequence[Finding]) -> list[str]:
    """What is said of images with another number of bands than most."""
    counts = Counter(each.channels for each in findings).most_common(1)
    usual = counts[0][0] if counts else 0
    odd = [each for each in findings if each.channels != usual]
    return [f"{each.name} has {each.channels} bands, most images have {usual}" for each in odd]
