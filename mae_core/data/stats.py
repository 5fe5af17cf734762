"""The pixels of a data set, band by band: mean, deviation and percentiles, in one pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mae_core.data.bands import Bands, where_missing
from mae_core.data.decode import Unreadable, open_image
from mae_core.data.depth import depth_of
from mae_core.data.each import Progress, each_image, read_stored
from mae_core.data.images import tell_depth
from mae_core.data.sources import Source, open_source
from mae_core.data.stored import read_raster
from mae_core.errors import UserError
from mae_core.plots import COLOURS, lighten, new_figure, save_figure

SHARES = (0.1, 1.0, 50.0, 99.0, 99.9)  # percentiles, in %
COARSE = 12  # low bits of float32 that bins of floats leave out: they are 1/2048 of a value wide
FLIPPED = np.int32(0x7FFFFFFF)  # bits of negative numbers, so that they are ordered
ROOM = 1 << 22  # bins that are kept apart before they are added up
BARS = 64  # of a histogram
ACROSS = 4  # histograms side by side
COLOURS_READ = ["red", "green", "blue"]

Bins = list[tuple[NDArray[np.int32], NDArray[np.int64]]]


@dataclass
class BandStats:
    """What is known of one band's numbers, without those that are missing.

    Bins are of the leading bits of float32, so that those of all images are the same, whatever
    their range. Whole numbers have a bin each.

    Attributes:
        count: numbers.
        mean: of them.
        m2: the sum of squared differences from the mean.
        least, most: of them.
        nan: numbers left out as NaN or infinite.
        nodata: those left out as the file's nodata value.
        bins: pairs of sorted keys and counts, see :func:`keys_of`.
    """

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0
    least: float = np.inf
    most: float = -np.inf
    nan: int = 0
    nodata: int = 0
    bins: Bins = field(default_factory=list)

    @property
    def std(self) -> float:
        """The deviation of all numbers, not of a sample."""
        return float(np.sqrt(self.m2 / max(self.count, 1)))

    @property
    def constant(self) -> bool:
        """Whether all numbers are the same, or there are none."""
        return not self.least < self.most

    def add(self, other: "BandStats") -> None:
        """Take in other numbers (Chan, Golub, LeVeque 1983, Algorithms for computing the sample
        variance, 2.1).
        """
        count = self.count + other.count
        if other.count:
            delta = other.mean - self.mean
            self.mean += delta * other.count / count
            self.m2 += other.m2 + delta**2 * self.count * other.count / count
        self.count = count
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.nan, self.nodata = self.nan + other.nan, self.nodata + other.nodata
        self.bins += other.bins
        if len(self.bins) > 1 and sum(len(keys) for keys, _ in self.bins) > ROOM:
            self.bins = [added_up(self.bins)]

    def histogram(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Sorted values of the bins that are not empty, and their counts."""
        self.bins = [added_up(self.bins)]
        keys, counts = self.bins[0]
        return value_of(keys), counts

    def percentiles(self) -> list[float]:
        """:data:`SHARES`: the least value that so many percent of the numbers do not exceed."""
        values, counts = self.histogram()
        if not self.count:
            return [np.nan] * len(SHARES)
        ranks = np.ceil(np.array(SHARES) / 100 * self.count)
        found = values[np.searchsorted(counts.cumsum(), ranks)]
        return found.clip(self.least, self.most).tolist()


class Stats(NamedTuple):
    """A data set's pixels.

    Attributes:
        bands: in the order that they are read in.
        names: of the bands.
        images: how many were read.
        exact: whether percentiles are; else they are of bins 1/2048 of their value wide.
        unreadable: why each of the others was left out.
    """

    bands: list[BandStats]
    names: list[str]
    images: int
    exact: bool
    unreadable: list[str]


class OfImage(NamedTuple):
    """One image's bands, what they are called, whether they are counted exactly; or why not."""

    name: str
    bands: list[BandStats]
    names: list[str]
    exact: bool = True
    reason: str = ""


def stats(
    data: str,
    bands: Bands | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    meaning: Mapping[str, Any] | None = None,
) -> Stats:
    """Read all images of `data` once. The numbers do not depend on `workers`.

    Args:
        data: see :func:`open_source`.
        bands: what is read; without it RGB from 0 to 255, as `ImageDataset` reads it. Missing
            pixels are counted and left out.
        progress: called with images done and images in all.
        workers: processes; one a core by default.
        meaning: `split`, `columns`, `root` and `group` of :func:`open_source`.

    Raises:
        UserError: as `open_source` does, or if no image can be read.
    """
    source = open_source(data, **(meaning or {}))
    bits = depth_of(source) if bands is None else None
    if bits:
        tell_depth(data, bits)
    total: list[BandStats] = []
    names: list[str] = []
    unreadable, images, exact = [], 0, True
    one = partial(measure, bands=bands, bits=bits)
    for found in each_image(source, one, workers, progress):
        if not total and not found.reason:
            total, names = [BandStats() for _ in found.bands], found.names
        if found.reason or len(found.bands) != len(total):
            other = f"{found.name} has {len(found.bands)} bands, the first image {len(total)}"
            unreadable.append(found.reason or other)
            continue
        for band, more in zip(total, found.bands, strict=True):
            band.add(more)
        images, exact = images + 1, exact and found.exact
    if not images:
        raise UserError(f"{data} has no readable image; the first: {unreadable[0]}")
    return Stats(total, names, images, exact, unreadable)


def measure(source: Source, index: int, bands: Bands | None, bits: int | None) -> OfImage:
    """One image."""
    name = source.name(index)
    try:
        data = read_stored(source, index)
        if bands is None:
            pixels = open_image(data, 3, name, bits).pixels()
            return OfImage(name, [of_numbers(plane) for plane in planes(pixels)], COLOURS_READ)
        raster = read_raster(data, name)
        picked = bands.picked(raster, name)
        missing = where_missing(picked, raster.nodata)
        values: NDArray[Any] = bands.ranged(picked, missing, name)
    except Unreadable as error:
        return OfImage(name, [], [], reason=str(error))
    exact = picked.dtype.kind in "ui" and bands.clip is None and not bands.log1p
    found = []
    for stored, plane, gone in zip(planes(picked), planes(values), planes(missing), strict=True):
        band = of_numbers((stored if exact else plane)[~gone])
        band.nodata = int((gone & np.isfinite(stored)).sum())
        band.nan = int(gone.sum()) - band.nodata
        found.append(band)
    return OfImage(name, found, bands.names(raster), exact)


def planes(pixels: NDArray[Any]) -> NDArray[Any]:
    """(H, W, C) -> (C, H * W)."""
    return pixels.reshape(-1, pixels.shape[2]).T


def of_numbers(numbers: NDArray[Any]) -> BandStats:
    """Numbers (N,), of whole ones each value counted, of others each bin."""
    if not numbers.size:
        return BandStats()
    if numbers.dtype.kind in "ui":
        values, counts = np.unique(numbers, return_counts=True)
        keys = keys_of(values)
    else:
        keys, counts = np.unique(keys_of(numbers) >> COARSE << COARSE, return_counts=True)
    exact = numbers.astype(np.float64)
    mean = float(exact.mean())
    return BandStats(
        count=numbers.size,
        mean=mean,
        m2=float(np.square(exact - mean).sum()),
        least=float(exact.min()),
        most=float(exact.max()),
        bins=[(keys, counts)],
    )


def keys_of(numbers: NDArray[Any]) -> NDArray[np.int32]:
    """The bits of the numbers as float32, as whole numbers that are ordered like them."""
    bits = (numbers.astype(np.float32) + np.float32(0)).view(np.int32)  # -0 becomes 0
    return np.where(bits < 0, bits ^ FLIPPED, bits)


def value_of(keys: NDArray[np.int32]) -> NDArray[np.float64]:
    """The inverse of :func:`keys_of`."""
    bits = np.where(keys < 0, keys ^ FLIPPED, keys)
    return bits.view(np.float32).astype(np.float64)


def added_up(bins: Bins) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The sorted keys of all, each once, and their counts."""
    if not bins:
        return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
    keys, places = np.unique(np.concatenate([keys for keys, _ in bins]), return_inverse=True)
    counts = np.zeros(len(keys), dtype=np.int64)
    np.add.at(counts, places, np.concatenate([counts for _, counts in bins]))
    return keys, counts


def draw_stats(path: Path, found: Stats) -> None:
    """Save a histogram of each band, from the least percentile to the largest.

    Args:
        path: .png, .jpg, .pdf or another format of matplotlib.
        found: of :func:`stats`.
    """
    rows = -(-len(found.bands) // ACROSS)
    columns = min(len(found.bands), ACROSS)
    figure = new_figure(2.4 * columns + 0.4, 1.9 * rows + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, band, name in zip(axes, found.bands, found.names, strict=False):
        axis.set_axis_on()
        axis.set_title(name, fontsize=9)
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
        lighten(axis, grid=False)
        low, *_, high = band.percentiles()
        if not band.count:
            continue
        values, counts = band.histogram()
        heights, edges = np.histogram(values, BARS, (low, high), weights=counts)
        axis.stairs(heights, edges, fill=True, color=COLOURS[0], alpha=0.5)
        axis.axvline(band.mean, color=COLOURS[1], linewidth=1)
    figure.supxlabel("line: mean; from the percentile 0.1 to 99.9", fontsize=8)
    save_figure(figure, path, dpi=120)
