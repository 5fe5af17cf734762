"""Images whose pixels are read as they are stored: which bands, and what is done to the numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mae_core import pixels
from mae_core.data.decode import Size, Unreadable
from mae_core.data.raster import Raster
from mae_core.data.stored import read_raster
from mae_core.errors import UserError
from mae_core.notices import say

ALL = "all"
KEYS = ("bands", "clip", "fill", "log1p")  # of a data set
LARGEST = {"i": 1 << 24, "u": 1 << 24, "f": float(np.finfo(np.float32).max)}  # by dtype's kind
CHANNELS = 3  # of images without `bands` and `in_chans`

Range = tuple[float, float]
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Bands:
    """What is read of each image, as float32 in the units of the files.

    Missing pixels are those that are NaN, infinite or the file's nodata value. They stay out of
    `clip` and `log1p`, and become `fill` after these.

    Attributes:
        chosen: the bands by number from 0 or by name, in this order; None for all.
        count: how many they are; None for any number, to look at data.
        clip: the range that each band's numbers are clipped to, or one for all; None for no
            clipping.
        log1p: whether ln(1 + x) takes the place of x, after the clipping.
        fill: what a missing pixel of each band becomes, or one for all; None to refuse images that
            have some.
    """

    chosen: tuple[int | str, ...] | None
    count: int | None
    clip: tuple[Range, ...] | None = None
    log1p: bool = False
    fill: tuple[float, ...] | None = None

    def values(self, raster: Raster, name: str) -> tuple[Values, int]:
        """(H, W, count) float32, and how many of them were missing and are filled.

        Raises:
            Unreadable: if bands or their numbers are not as expected; the message names the image.
        """
        picked = self.picked(raster, name)
        missing = where_missing(picked, raster.nodata)
        count = int(missing.sum())
        if count and self.fill is None:
            raise Unreadable(
                f"{name} has {count:,} numbers of {picked.size:,} that are NaN, infinite or "
                "nodata: say with `fill` what they are to become, or leave the image out"
            )
        values = self.ranged(picked, missing, name)
        if count:
            values = np.where(missing, np.array(self.fill, dtype=np.float32), values)
        return values, count

    def ranged(self, picked: NDArray[Any], missing: NDArray[np.bool_], name: str) -> Values:
        """As :meth:`values`, of (H, W, C) as it is stored; NaN where numbers are missing."""
        values = as_float(picked, missing, name)
        if self.clip is not None:
            low, high = np.array(self.clip, dtype=np.float32).T
            values = values.clip(low, high)
        if self.log1p:
            values = logarithm(values, name)
        return values

    def picked(self, raster: Raster, name: str) -> NDArray[Any]:
        """The chosen bands, as they are stored."""
        found = raster.pixels.shape[2]
        if self.chosen is None:
            if self.count not in (None, found):
                raise Unreadable(
                    f"{name} has {found} bands (shape {raster.pixels.shape}), expected (H, W, "
                    f"{self.count}) as in_chans says: set in_chans={found}, or name bands"
                )
            if self.count is None and is_bands_first(raster):
                say(
                    "arrays whose first axis is the shortest look like (bands, H, W), and are read "
                    f"as (H, W, bands), such as {name}: transpose them, unless that is right"
                )
            return raster.pixels
        check_layout(raster, name)
        places = [place_of(band, raster, name) for band in self.chosen]
        return raster.pixels[..., places]

    def names(self, raster: Raster) -> list[str]:
        """What the chosen bands are called: by their names, or by their numbers without any."""
        names = raster.names or tuple(map(str, range(raster.pixels.shape[2])))
        chosen = range(len(names)) if self.chosen is None else self.chosen
        return [band if isinstance(band, str) else names[band] for band in chosen]


class BandImage:
    """An image read by its :class:`Bands`; see `Opened` in mae_core/data/decode.py."""

    def __init__(self, data: bytes | NDArray[Any], bands: Bands, name: str) -> None:
        self.data, self.bands, self.name = data, bands, name

    @cached_property
    def values(self) -> Values:
        """(H, W, C)."""
        return self.bands.values(read_raster(self.data, self.name), self.name)[0]

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.values.shape[0], self.values.shape[1]

    def pixels(self, reduction: int = 1) -> Values:
        """(H, W, C) float32; never reduced.

        Raises:
            Unreadable: if the image is damaged, or its bands are not as expected.
        """
        return self.values


def bands_of(
    bands: str | Sequence[int | str] | None,
    in_chans: int | None = None,
    clip: Sequence[Any] | None = None,
    log1p: bool = False,
    fill: float | Sequence[float] | None = None,
) -> Bands | None:
    """The keys of a data set as :class:`Bands`; None without `bands`.

    Args:
        bands: 'all', or numbers and names.
        in_chans: how many there are; of a list, its length without it.
        clip: (low, high) for all bands, or such a pair for each.
        log1p: see :class:`Bands`.
        fill: a number for all bands, or one for each.

    Raises:
        UserError: if the keys contradict each other.
    """
    if bands is None:
        given = [key for key, value in (("clip", clip), ("fill", fill)) if value is not None]
        if given or log1p:
            key = (given or ["log1p"])[0]
            raise UserError(f"{key} is for pixels as they are stored: set bands too, such as 'all'")
        return None
    chosen = None if bands == ALL else checked_choice(bands)
    count = channels_of({"bands": bands, "in_chans": in_chans})
    if chosen is not None and len(chosen) != count:
        raise UserError(f"in_chans={count}, but bands={list(chosen)} are {len(chosen)}")
    return Bands(chosen, count, ranges(clip, count), bool(log1p), fills(fill, count))


def any_bands(bands: str | Sequence[int | str], log1p: bool = False, **numbers: Any) -> Bands:
    """As :func:`bands_of` to look at data: of 'all' as many as each image has.

    `numbers` are its `clip` and `fill`, those of all bands.
    """
    found = bands_of(bands, log1p=log1p, **numbers)
    assert found is not None
    return replace(found, count=None) if found.chosen is None else found


def channels_of(images: Mapping[str, Any]) -> int:
    """The channels of a set of images, from the keys of its data set."""
    given, bands = images.get("in_chans"), images.get("bands")
    if given is not None:
        return int(given)
    return CHANNELS if bands is None or isinstance(bands, str) else len(bands)


def checked_choice(bands: Any) -> tuple[int | str, ...]:
    """Numbers and names of bands. Raises UserError for anything else."""
    listed = tuple(bands) if isinstance(bands, list | tuple) else ()
    for band in listed:
        number = isinstance(band, int) and not isinstance(band, bool) and band >= 0
        if not number and not (isinstance(band, str) and band):
            listed = ()
    if not listed:
        raise UserError(
            f"bands={bands!r}: expected '{ALL}', or a list of numbers from 0 or names of bands"
        )
    return listed


def ranges(clip: Any, count: int) -> tuple[Range, ...] | None:
    """One for all bands, or one for each.

    Raises:
        UserError: unless each has two numbers, the first smaller.
    """
    if clip is None:
        return None
    one = are_numbers(clip, 2)
    pairs = [clip] if one else list(clip) if is_list(clip) else []
    fits = (one or len(pairs) == count) and all(are_numbers(pair, 2) for pair in pairs)
    if not fits or not all(low < high for low, high in pairs):
        raise UserError(
            f"clip={clip!r}: expected (low, high), the first smaller, or such a pair for each of "
            f"{count} bands"
        )
    return tuple((float(low), float(high)) for low, high in pairs)


def fills(fill: Any, count: int) -> tuple[float, ...] | None:
    """One for all bands, or one for each. Raises UserError for anything but numbers."""
    if fill is None:
        return None
    values = list(fill) if is_list(fill) else [fill]
    if not are_numbers(values, count if is_list(fill) else 1):
        raise UserError(f"fill={fill!r}: expected a number, or one for each of {count} bands")
    return tuple(map(float, values))


def is_list(value: Any) -> bool:
    """Whether it is a list or tuple."""
    return isinstance(value, list | tuple)


def are_numbers(values: Any, count: int) -> bool:
    """Whether it is a list of so many finite numbers."""
    return pixels.are_numbers(values) and len(values) == count


def place_of(band: int | str, raster: Raster, name: str) -> int:
    """The number of a band. Raises Unreadable, with those that there are, if it is not there."""
    count = raster.pixels.shape[2]
    if isinstance(band, int):
        if band >= count:
            raise Unreadable(f"{name} has no band {band}: it has {count}, from 0 to {count - 1}")
        return band
    if raster.names.count(band) != 1:
        known = f"it names {', '.join(raster.names)}"
        if not raster.names:
            known = f"it names none, they have the numbers 0 to {count - 1}"
        many = "several bands" if band in raster.names else "no band"
        raise Unreadable(f"{name} has {many} called '{band}': {known}")
    return raster.names.index(band)


def check_layout(raster: Raster, name: str) -> None:
    """Raise Unreadable for an array that has its bands first, which would be taken for rows."""
    if is_bands_first(raster):
        raise Unreadable(
            f"{name} has shape {raster.pixels.shape}, which looks like (bands, H, W): expected "
            "(H, W, bands); transpose it, or set bands='all' and in_chans if it is right"
        )


def is_bands_first(raster: Raster) -> bool:
    """Whether an array, whose axes have no names, seems to have its bands first."""
    height, width, bands = raster.pixels.shape
    return raster.kind.startswith(("array", "NPY")) and height < min(width, bands)


def where_missing(pixels: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Which numbers are NaN, infinite, or the value `nodata`."""
    floats = pixels.dtype.kind == "f"
    missing = ~np.isfinite(pixels) if floats else np.zeros(pixels.shape, dtype=bool)
    if nodata is not None and np.isfinite(nodata):
        with np.errstate(over="ignore"):  # written with more digits than the dtype has
            value = pixels.dtype.type(nodata) if floats else nodata
        missing |= pixels == value
    return missing


def as_float(pixels: NDArray[Any], missing: NDArray[np.bool_], name: str) -> Values:
    """The numbers as float32, NaN where they are missing; float64 is rounded, which is said.

    Raises:
        Unreadable: if they are no real numbers, or none that float32 can hold.
    """
    dtype = pixels.dtype
    if dtype.kind not in LARGEST:
        raise Unreadable(f"{name} has pixels of type {dtype}: expected whole numbers or floats")
    if dtype.itemsize > (2 if dtype.kind in "iu" else 4):
        known = pixels[~missing]
        most = max(float(known.max(initial=0)), -float(known.min(initial=0)))
        if most > LARGEST[dtype.kind]:
            limit = "2**24 in whole numbers" if dtype.kind in "iu" else "3.4e38"
            raise Unreadable(
                f"{name} has a pixel of {most:.10g} ({dtype}): images are read as float32, which "
                f"holds up to {limit}"
            )
        if dtype.kind == "f":
            say(f"pixels of type {dtype} are rounded to float32")
    with np.errstate(over="ignore", invalid="ignore"):  # of what is missing
        values = pixels.astype(np.float32)
    if missing.any():
        values[missing] = np.nan
    return values


def logarithm(values: Values, name: str) -> Values:
    """ln(1 + x). Raises Unreadable where there is none."""
    least = np.nanmin(values) if not np.isnan(values).all() else 0.0
    if least <= -1:
        raise Unreadable(f"{name} has a pixel of {least:.6g}, log1p takes those above -1: clip it")
    return np.log1p(values)
