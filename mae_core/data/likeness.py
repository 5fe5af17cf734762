"""Which images look alike: re-encoded, scaled, cropped a little, brighter, grey or mirrored.

An image is described by the lowest frequencies of its thumbnail's cosine transform, as by a
perceptual hash, but by their values in place of their signs, which tells far more apart at the
same length (benchmarks/RESULTS.md). Their square roots with sign, of length 1, are compared by
their product: so no coefficient decides alone, and neither brightness nor contrast counts.

All pairs are compared by few frequencies, which finds candidates; these by more of them and in all
ways in which one may be a crop of the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray
from scipy.fft import dct

from mae_core.data.decode import Pixels
from mae_core.data.each import Progress

SIDE = 32  # pixels of a thumbnail
COARSE, FINE = 8, 12  # frequencies along each side
CANDIDATE = 0.7  # product of coarse descriptions; crops by 5 % are at 0.75 and above, nearly all
ALIKE = 0.955  # of fine ones, aligned: chosen by benchmarks/duplicates.py
FLAT = 1.0  # standard deviation of a thumbnail, in levels of 255: what is below is noise
CROPS = ((0, 0), (0.025, 0), (0, 0.025), (0.025, 0.025), (0.05, 0), (0, 0.05))  # before and after
ROWS, COLUMNS = 512, 2048  # compared at once: what the processor's cache holds
CHUNK = 256  # thumbnails whose crops are in memory at once

PAIR = np.dtype(
    [("one", "i4"), ("other", "i4"), ("similarity", "f4"), ("mirrored", "?"), ("exact", "?")]
)
Pairs = NDArray[np.void]  # (P,) of PAIR


def thumbnail(pixels: Pixels) -> Pixels:
    """(SIDE, SIDE) uint8, grey, of an image (H, W, C) whatever its ratio."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.shape[2] == 3 else pixels.mean(2)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).round().astype(np.uint8)


def is_flat(thumbnails: Pixels) -> NDArray[np.bool_]:
    """(N,) whether there is nothing to compare in thumbnails (N, SIDE, SIDE)."""
    flat = np.empty(len(thumbnails), dtype=bool)
    for start in range(0, len(thumbnails), ROWS):
        part = thumbnails[start : start + ROWS].astype(np.float32)
        flat[start : start + ROWS] = part.std((1, 2)) < FLAT
    return flat


def crop_and_transform() -> torch.Tensor:
    """(crops, FINE, SIDE): the lowest frequencies of a line of pixels, cropped in each way."""
    cosines = dct(np.eye(SIDE), axis=0, norm="ortho")[:FINE]
    found = []
    for before, after in CROPS:
        places = SIDE * before + (np.arange(SIDE) + 0.5) * (1 - before - after) - 0.5
        left = np.clip(np.floor(places), 0, SIDE - 2).astype(int)
        part = np.clip(places - left, 0, 1)
        stretch = np.zeros((SIDE, SIDE))  # linear interpolation between neighbours
        stretch[np.arange(SIDE), left] = 1 - part
        stretch[np.arange(SIDE), left + 1] = part
        found.append(cosines @ stretch)
    return torch.from_numpy(np.stack(found)).float()


TRANSFORM = crop_and_transform()  # the first crop is the whole


def unit(frequencies: torch.Tensor) -> torch.Tensor:
    """(..., F * F), of length 1, of (..., F, F), which is changed; the mean is left out."""
    frequencies[..., 0, 0] = 0
    rooted = (frequencies.sign() * frequencies.abs().sqrt()).flatten(-2)
    return torch.nn.functional.normalize(rooted, dim=-1)


def described(thumbnails: Pixels, count: int) -> torch.Tensor:
    """(N, count * count) float32, of length 1, of thumbnails (N, SIDE, SIDE)."""
    whole = TRANSFORM[0, :count]
    parts = torch.from_numpy(thumbnails).split(ROWS)
    return torch.cat([unit(whole @ part.float() @ whole.T) for part in parts])


def crops_described(thumbnails: Pixels) -> torch.Tensor:
    """(N, ways to crop, FINE * FINE), each crop described as if it were the whole."""
    every = TRANSFORM.flatten(0, 1)
    both = every @ torch.from_numpy(thumbnails).float() @ every.T
    ways = both.unflatten(1, (-1, FINE)).unflatten(3, (-1, FINE)).transpose(2, 3)
    return unit(ways.flatten(1, 2).contiguous())


def alike(one: Pixels, other: Pixels | None, progress: Progress | None = None) -> Pairs:
    """Which of the thumbnails `one` (N, SIDE, SIDE) look like which of `other` (M, SIDE, SIDE).

    Args:
        one, other: thumbnails that are not flat; without `other`, each of `one` is compared with
            those before it.
        progress: called with thumbnails of `one` done and in all.

    Returns:
        Pairs by their places in both, see :func:`nearest`; none is `exact`.
    """
    inside = other is None
    others = one if other is None else other
    coarse = described(others, COARSE) if len(others) else torch.empty(0, COARSE**2)
    starts = range(0, len(one), ROWS)
    found: list[Pairs] = [np.empty(0, PAIR)]
    with one_thread_each():
        tasks = (delayed(alike_in_block)(one, others, coarse, start, inside) for start in starts)
        parallel = Parallel(cpu_count(), prefer="threads", return_as="generator")
        for start, pairs in zip(starts, parallel(tasks), strict=True):
            found.append(pairs)
            if progress:
                progress(min(start + ROWS, len(one)), len(one))
    return nearest(np.concatenate(found))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let threads that begin in the block compute alone: so that many of them do not wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def alike_in_block(
    one: Pixels, others: Pixels, coarse: torch.Tensor, start: int, inside: bool
) -> Pairs:
    """As :func:`alike`, for `ROWS` images of `one` from `start`; `coarse` describes `others`."""
    block = one[start : start + ROWS]
    found: list[Pairs] = []
    for mirrored in (False, True):
        seen = np.ascontiguousarray(block[..., ::-1]) if mirrored else block
        rows, columns = candidates(described(seen, COARSE), coarse, start, inside)
        pairs = np.zeros(len(rows), PAIR)
        pairs["one"], pairs["other"], pairs["mirrored"] = rows + start, columns, mirrored
        pairs["similarity"] = aligned(seen, rows, others, columns)
        found.append(pairs[pairs["similarity"] >= ALIKE])
    return nearest(np.concatenate(found))


def candidates(
    block: torch.Tensor, others: torch.Tensor, start: int, inside: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows (P,) of `block` and of `others` whose product is large.

    Args:
        block: (B, D), descriptions of the images from `start`.
        others: (M, D).
        start: the number of the block's first image.
        inside: leave out those of `others` that are not before the image itself.
    """
    last = start + len(block) if inside else len(others)
    # Fresh memory for each step would take most of the time.
    products = torch.empty(len(block) * COLUMNS)
    is_near = torch.empty(len(block) * COLUMNS, dtype=torch.bool)
    found = [np.empty((2, 0), dtype=np.int64)]
    for first in range(0, last, COLUMNS):
        part = others[first : min(first + COLUMNS, last)]
        size = len(block) * len(part)
        torch.mm(block, part.T, out=products[:size].view(len(block), len(part)))
        torch.ge(products[:size], CANDIDATE, out=is_near[:size])
        rows, columns = np.divmod(np.flatnonzero(is_near[:size].numpy()), len(part))
        found.append(np.stack([rows, columns + first]))
    rows, columns = np.concatenate(found, axis=1)
    if inside:
        before = columns < rows + start
        rows, columns = rows[before], columns[before]
    return rows, columns


def aligned(
    one: Pixels, rows: NDArray[np.int64], other: Pixels, columns: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(P,) how alike `one[rows]` and `other[columns]` are if either may be a crop of the other."""
    return np.maximum(best_crop(one, rows, other, columns), best_crop(other, columns, one, rows))


def best_crop(
    cropped: Pixels, places: NDArray[np.int64], whole: Pixels, partners: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(P,) the largest product of a crop of `cropped[places]` with `whole[partners]`.

    The crops of an image are described once, whatever the number of its partners.
    """
    best = np.empty(len(places), dtype=np.float32)
    order = np.argsort(places, kind="stable")
    known, of_partner = np.unique(partners, return_inverse=True)
    fine = described(whole[known], FINE)
    images, firsts = np.unique(places[order], return_index=True)
    groups = np.split(order, firsts[1:])
    for start in range(0, len(images), CHUNK):
        crops = crops_described(cropped[images[start : start + CHUNK]])
        for ways, group in zip(crops, groups[start : start + CHUNK], strict=False):
            best[group] = (fine[of_partner[group]] @ ways.T).amax(1).numpy()
    return best


def nearest(pairs: Pairs) -> Pairs:
    """Those that are the nearest of one of their two images, in order.

    So every image that has a pair keeps one, and there are no more pairs than images.
    """
    order = np.lexsort((pairs["other"], pairs["one"], -pairs["similarity"], ~pairs["exact"]))
    ordered = pairs[order]
    chosen = [np.unique(ordered[side], return_index=True)[1] for side in ("one", "other")]
    return np.sort(ordered[np.unique(np.concatenate(chosen))], order=["one", "other"])
