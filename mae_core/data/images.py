"""Images as a data set: from a source, through a transform, to items of a batch."""

from collections.abc import Mapping, Sequence
from copy import copy
from random import Random
from typing import Any

import numpy as np
import torch
from mmengine.registry import FUNCTIONS
from numpy.typing import NDArray
from torch.utils.data import Dataset, default_collate

from mae_core.data.bands import KEYS, BandImage, bands_of, channels_of
from mae_core.data.decode import Decoded, Opened, Unreadable, memory_for, open_image
from mae_core.data.depth import depth_of
from mae_core.data.each import read_stored
from mae_core.data.picture import BITS
from mae_core.data.sampler import Draw
from mae_core.data.sources import open_source
from mae_core.data.sources.base import Source
from mae_core.data.sources.columns import Columns
from mae_core.data.sources.select import Selection
from mae_core.data.sources.targets import Targets
from mae_core.data.transform import Transform, View
from mae_core.errors import UserError
from mae_core.notices import say

MEANING = ("split", "columns", "root", "group", "unit")  # of a table, and of names
READING = (*MEANING, *KEYS)  # keys that say how images are read
MAX_UNREADABLE = 100  # in a row; more is no damage but a mistake


class ImageDataset(Dataset[Any]):
    """Images with what a training draws for them.

    An item is chosen by a :class:`Draw`, or by a number, which is then also the seed. All that is
    random in it comes from the draw's seed; global random states are neither read nor changed. It
    is a dict of

    - `inputs`: uint8 tensor (C, H, W), neither flipped nor normalised, which the device does;
      with `bands` float32, in the units of the files;
    - `label`: int, an index into `classes`, -1 without label; where there are `targets` instead,
      float32 tensor (L,), 1 for each label that the image has, or of a number (1,);
    - `seed`: int, the draw's;
    - `flip`: bool, whether the device is to mirror the image;
    - `unreadable`: int, -1, or the number of an image that was replaced by the next readable one.

    With `repeats` above 1 an item is the list of its views, of which :func:`collate_views` makes a
    batch.

    Args:
        data: see :func:`open_source`.
        transform: see :class:`Transform`.
        names_in, part, per_class, seed, per_class_seed: which images, see :func:`open_source`.
        split, columns, root, group, unit: of a table, or what belongs together, see there.
        in_chans: 1 reads as grey, 3, as it is without it, as RGB; other numbers take images that
            have so many channels. Of `bands` how many they are.
        in_memory: keep every image after its first reading, decoded; for sets of small images.
        repeats: views of each decoded image (Hoffer et al. 2020, arXiv 1901.09335).
        skip_unreadable: replace images that cannot be read; else they raise.
        bits: that images with 16 bits a channel use, 8 to 16; found in some of them without it.
        bands: read pixels as they are stored, all bands or those of a list, see :func:`bands_of`.
        clip, log1p, fill: what is done to their numbers, see :class:`mae_core.data.bands.Bands`.

    Raises:
        UserError: as `open_source` and `Transform` do; on access, if an image cannot be read, or
            with `skip_unreadable` 100 in a row.
    """

    def __init__(
        self,
        data: str,
        transform: dict[str, Any],
        names_in: str | None = None,
        part: Sequence[float] | None = None,
        per_class: int | None = None,
        seed: int = 0,
        in_chans: int | None = None,
        in_memory: bool = False,
        repeats: int = 1,
        skip_unreadable: bool = False,
        bits: int | None = None,
        per_class_seed: int | None = None,
        split: str | None = None,
        columns: Columns | None = None,
        root: str | None = None,
        group: str | None = None,
        bands: str | Sequence[int | str] | None = None,
        clip: Sequence[Any] | None = None,
        log1p: bool = False,
        fill: float | Sequence[float] | None = None,
        unit: str | None = None,
    ) -> None:
        self.bands = bands_of(bands, in_chans, clip, log1p, fill)
        self.in_chans = channels_of({"in_chans": in_chans, "bands": bands})
        for name, value in (("in_chans", self.in_chans), ("repeats", repeats)):
            if value < 1:
                raise UserError(f"{name}={value}: expected at least 1")
        if bits not in (None, *BITS):
            raise UserError(f"bits={bits}: expected one of {', '.join(map(str, BITS))}")
        chosen = (names_in, part, per_class, seed, per_class_seed)
        if self.bands and bits is not None:
            raise UserError(f"bits={bits} scales pixels, bands take them as they are: set one")
        self.source: Source = open_source(data, *chosen, split, columns, root, group, unit)
        self.classes, self.labels = self.source.classes, self.source.labels
        self.transform = Transform(transform, self.in_chans, as_stored=self.bands is not None)
        if self.bands and self.bands.fill is not None:
            say(
                f"{data}: pixels that are NaN, infinite or nodata become {fill}; mae-bench data "
                "check counts them, with --bands and --fill"
            )
        self.repeats = repeats
        self.skip_unreadable = skip_unreadable
        self.kept: dict[int, Opened] | None = {} if in_memory else None
        self.bits = depth_of(self.source) if bits is None and self.bands is None else bits
        if self.bits and bits is None:
            tell_depth(data, self.bits)

    @property
    def targets(self) -> Targets | None:
        """What the images are labelled with, if these are no classes."""
        return self.source.targets

    def only(self, indices: NDArray[np.int64]) -> "ImageDataset":
        """The images `indices` of this set, with the same classes."""
        part = copy(self)
        part.source = Selection(self.source, indices)
        part.labels = part.source.labels
        part.kept = None if self.kept is None else {}
        return part

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, draw: int | Draw) -> Any:
        index, seed = (draw.index, draw.seed) if isinstance(draw, Draw) else (draw, draw)
        seeds = [seed, *more_seeds(seed, self.repeats - 1)]
        number, views = self.readable(index, seeds)
        label = self.label(number)
        items = [
            {"inputs": view.pixels, "label": label, "seed": s, "flip": view.flip, "unreadable": -1}
            for view, s in zip(views, seeds, strict=True)
        ]
        if number != index:
            items[0]["unreadable"] = index
        return items[0] if self.repeats == 1 else items

    def label(self, number: int) -> int | torch.Tensor:
        """An item's label of the image `number`."""
        if self.targets is None:
            return int(self.labels[number])
        return torch.tensor(self.targets.values[number])

    def readable(self, index: int, seeds: Sequence[int]) -> tuple[int, list[View]]:
        """The views of the image `index`, or of the next that can be read, and its number."""
        if index >= len(self):
            raise IndexError(index)
        tries = MAX_UNREADABLE if self.skip_unreadable else 1
        for number in range(index, index + tries):
            try:
                place = number % len(self)
                with memory_for(self.source.name(place)):
                    return place, self.transform.views(self.open(place), seeds)
            except Unreadable as error:
                reason = error
        if not self.skip_unreadable:
            raise reason
        raise UserError(f"{MAX_UNREADABLE} images in a row cannot be read; the last: {reason}")

    def open(self, index: int) -> Opened:
        """The image `index`, its header read.

        Raises:
            Unreadable: if it cannot be read.
        """
        if self.kept is None:
            return self.opened(index)
        if index not in self.kept:
            self.kept[index] = Decoded(self.opened(index).pixels())
        return self.kept[index]

    def opened(self, index: int) -> Opened:
        """The image `index` as it is stored."""
        stored, name = read_stored(self.source, index), self.source.name(index)
        if self.bands is not None:
            return BandImage(stored, self.bands, name)
        return open_image(stored, self.in_chans, name, self.bits)


def reading(data: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments of :class:`ImageDataset` that are :data:`READING`."""
    return {key: data[key] for key in READING if key in data}


def drawn_by(seed: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments `data` of :class:`ImageDataset`, its `per_class` drawn with the seed of the run.

    For images that are learnt from: another run learns from others, too. Those of a test stay, and
    so does `part`, which must be the same order for both.
    """
    own = {} if data.get("per_class") is None else {"per_class_seed": seed}
    return {**own, **data}


def tell_depth(data: str, bits: int) -> None:
    """Say how the pixels of images with 16 bits a channel are scaled."""
    say(
        f"{data}: images with 16 bits a channel use {bits} of them: pixels from 0 to "
        f"{(1 << bits) - 1} are scaled to 0 to 255 (set `bits` of the data set if that is wrong)"
    )


def more_seeds(seed: int, count: int) -> list[int]:
    """`count` seeds that follow from `seed`, 0 to below 2**63."""
    rng = Random(seed + 2**63)  # no view's own
    return [rng.getrandbits(63) for _ in range(count)]


@FUNCTIONS.register_module()
def collate_views(items: Sequence[dict[str, Any] | list[dict[str, Any]]]) -> dict[str, Any]:
    """A batch of items, of n * repeats entries if they are lists of views."""
    lists = [item if isinstance(item, list) else [item] for item in items]
    batch: dict[str, Any] = default_collate([view for views in lists for view in views])
    return batch
