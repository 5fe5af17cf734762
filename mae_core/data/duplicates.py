"""Images that are in two data sets, or in one of them twice: equal pixels, or nearly so."""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mae_core.data.decode import Pixels, Unreadable, open_image
from mae_core.data.depth import depth_of
from mae_core.data.each import Progress, each_image, read_stored
from mae_core.data.likeness import PAIR, SIDE, Pairs, alike, is_flat, nearest, thumbnail
from mae_core.data.roots import resolve_path
from mae_core.data.sources import Source
from mae_core.data.sources.factory import HUGGING_FACE


class Scanned(NamedTuple):
    """What is compared of a data set.

    Attributes:
        source: of the images.
        bits: that its images with 16 bits a channel use, see `depth_of`.
        digests: (N,) uint64, of the decoded pixels.
        thumbnails: (N, SIDE, SIDE) uint8, grey.
        readable: (N,) bool; the others have zeros.
        flat: (N,) bool, the readable ones without anything to see: only equal pixels count.
        unreadable: why each of the others could not be read.
    """

    source: Source
    bits: int | None
    digests: NDArray[np.uint64]
    thumbnails: Pixels
    readable: NDArray[np.bool_]
    flat: NDArray[np.bool_]
    unreadable: list[str]

    def pixels(self, index: int) -> Pixels:
        """The image `index`, see :func:`pixels_of`."""
        return pixels_of(self.source, int(index), self.bits)


class Shared(NamedTuple):
    """What a data set has in common with another, or with itself.

    Attributes:
        name: of the other set.
        other: the other set, or the same.
        pairs: see :func:`duplicates`.
        within: whether it is the same: then an image is a duplicate of an earlier one.
    """

    name: str
    other: Scanned
    pairs: Pairs
    within: bool

    def counts(self) -> tuple[int, int]:
        """Images of the other set with equal pixels in the first one, and further near ones.

        Within one set, images that repeat an earlier one.
        """
        side = "one" if self.within else "other"
        equal = np.unique(self.pairs[side][self.pairs["exact"]])
        return len(equal), len(np.setdiff1d(self.pairs[side], equal))


class Seen(NamedTuple):
    """One image, or why it cannot be read."""

    digest: int = 0
    thumbnail: Pixels | None = None
    reason: str = ""


def scan(source: Source, progress: Progress | None = None, workers: int | None = None) -> Scanned:
    """Decode all images of a source.

    Args:
        source: of the images.
        progress: called with images done and images in all.
        workers: processes; one a core by default.
    """
    count = len(source)
    digests = np.zeros(count, dtype=np.uint64)
    thumbnails = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    readable = np.zeros(count, dtype=bool)
    unreadable = []
    bits = depth_of(source)
    of_image = partial(look, bits=bits)
    for index, seen in enumerate(each_image(source, of_image, workers, progress)):
        if seen.thumbnail is None:
            unreadable.append(seen.reason)
            continue
        digests[index], thumbnails[index], readable[index] = seen.digest, seen.thumbnail, True
    flat = readable & is_flat(thumbnails)
    return Scanned(source, bits, digests, thumbnails, readable, flat, unreadable)


def look(source: Source, index: int, bits: int | None) -> Seen:
    """Decode one image."""
    try:
        pixels = pixels_of(source, index, bits)
    except Unreadable as error:
        return Seen(reason=str(error))
    # Of 64 bits: two of a million images have the same by chance in one of 30 million data sets.
    digest = hashlib.blake2b(f"{pixels.shape}".encode(), digest_size=8)
    digest.update(pixels.tobytes())
    return Seen(int.from_bytes(digest.digest(), "little"), thumbnail(pixels))


def pixels_of(source: Source, index: int, bits: int | None) -> Pixels:
    """(H, W, 3), grey ones too; arrays with other numbers of channels as they are.

    Raises:
        Unreadable: if it cannot be decoded.
    """
    stored = read_stored(source, index)
    channels = 3
    if not isinstance(stored, bytes) and stored.ndim == 3 and stored.shape[2] != 1:
        channels = stored.shape[2]
    return open_image(stored, channels, source.name(index), bits).pixels()


def duplicates(one: Scanned, other: Scanned | None, progress: Progress | None = None) -> Pairs:
    """The images of `one` that are in `other` too, each with the one that is most like it.

    Args:
        one: a data set.
        other: another one; without, each image of `one` is compared with those before it.
        progress: called with images compared and images in all.

    Returns:
        Pairs by number, in order: each image that has a duplicate is in at least one of them, but
        not all pairs are there. Within one set `one` is after `other`.
    """
    others = one if other is None else other
    equal = equal_pixels(one, other)
    places, other_places = to_compare(one), to_compare(others)
    found = alike(
        one.thumbnails[places],
        None if other is None else other.thumbnails[other_places],
        progress,
    )
    found["one"], found["other"] = places[found["one"]], other_places[found["other"]]
    found = found[one.digests[found["one"]] != others.digests[found["other"]]]
    if other is not None:
        found = with_copies(found, "one", one)
        found = with_copies(found, "other", other)
    return nearest(np.concatenate([equal, found]))


def kept(one: Scanned, found: Sequence[Shared]) -> NDArray[np.bool_]:
    """(N,) the readable images of `one` that no other set has, of those that repeat the first."""
    keep = one.readable.copy()
    for shared in found:
        keep[shared.pairs["one"]] = False
    return keep


def kind(pair: np.void) -> str:
    """What two images have in common, in a word."""
    if pair["exact"]:
        return "exact"
    return "mirrored" if pair["mirrored"] else "near"


def place_of(data: str) -> str:
    """What the names of the images of `data` begin with, before a slash.

    Raises:
        UserError: if there is no such thing.
    """
    return data if data.startswith(HUGGING_FACE) else str(resolve_path(data))


def to_compare(scanned: Scanned) -> NDArray[np.int64]:
    """The readable images that are not flat, of equal ones the first."""
    first = first_with(scanned, scanned.digests) == np.arange(len(scanned.digests))
    return np.flatnonzero(scanned.readable & ~scanned.flat & first)


def first_with(scanned: Scanned, digests: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(D,) the number of the first readable image with each of `digests`, -1 without any."""
    readable = np.flatnonzero(scanned.readable)
    known, first = np.unique(scanned.digests[readable], return_index=True)
    if not len(known):
        return np.full(len(digests), -1)
    place = np.minimum(np.searchsorted(known, digests), len(known) - 1)
    return np.where(known[place] == digests, readable[first[place]], -1)


def equal_pixels(one: Scanned, other: Scanned | None) -> Pairs:
    """Each image of either set with the first one in the other set that has its pixels."""
    if other is None:
        first = first_with(one, one.digests)
        here = np.flatnonzero(one.readable & (first != np.arange(len(first))))
        return exact(here, first[here])
    there = first_with(other, one.digests)
    here = np.flatnonzero(one.readable & (there >= 0))
    back = first_with(one, other.digests)
    again = np.flatnonzero(other.readable & (back >= 0))
    return np.concatenate([exact(here, there[here]), exact(back[again], again)])


def exact(one: NDArray[np.int64], other: NDArray[np.int64]) -> Pairs:
    """Pairs of images with equal pixels."""
    pairs = np.zeros(len(one), PAIR)
    pairs["one"], pairs["other"], pairs["similarity"], pairs["exact"] = one, other, 1, True
    return pairs


def with_copies(pairs: Pairs, side: str, scanned: Scanned) -> Pairs:
    """`pairs`, and for each copy of an image on a side the nearest of the image's own."""
    ordered = pairs[np.argsort(-pairs["similarity"], kind="stable")]
    images, rows = np.unique(ordered[side], return_index=True)
    row_of = np.full(len(scanned.digests), -1)
    row_of[images] = rows
    first = first_with(scanned, scanned.digests)
    copies = np.flatnonzero(scanned.readable & (first != np.arange(len(first))))
    copies = copies[row_of[first[copies]] >= 0]
    more = ordered[row_of[first[copies]]]
    more[side] = copies
    return np.concatenate([pairs, more])
