"""A data set written anew as tar shards of small JPEGs, which read and decode faster."""

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from mae_core.data.cache import atomic_folder, locked
from mae_core.data.crops import Box, Crop, cut
from mae_core.data.decode import ARRAY, TIFFS, Pixels, Size, Unreadable, is_dicom, open_image
from mae_core.data.depth import depth_of
from mae_core.data.each import Progress, each_image, read_stored
from mae_core.data.images import tell_depth
from mae_core.data.sources import NO_LABEL, Source, open_source
from mae_core.data.sources.base import labels_by_name
from mae_core.data.sources.packed_targets import ABOUT, TARGET, about, target_texts
from mae_core.data.stored import read_raster
from mae_core.errors import UserError
from mae_core.notices import say


class Packed(NamedTuple):
    """What was written.

    Attributes:
        images: how many.
        size_before, size: bytes of all images, as they were and as they are.
        shards: tar files.
        numbered: whether classes became numbers, since their names do not sort in their order.
        unreadable: why each image that was left out could not be read.
    """

    images: int
    size_before: int
    size: int
    shards: int
    numbered: bool
    unreadable: list[str]


class File(NamedTuple):
    """An image to be written: its content, suffix and size as it was; or why there is none."""

    content: bytes = b""
    suffix: str = ""
    size_before: int = 0
    reason: str = ""


def pack(
    data: str,
    out: Path,
    short_side: int = 256,
    quality: int = 90,
    shard_mb: int = 256,
    progress: Progress | None = None,
    workers: int | None = None,
    as_stored: bool = False,
    meaning: Mapping[str, Any] | None = None,
) -> Packed:
    """Write the images of `data` to `out/shard-00000.tar`, ..., in their order.

    Images with a longer shorter side are scaled down to it and stored as JPEG; others are copied.
    With `as_stored` all are: any bands and depth, to be read by `bands` of a data set.
    Labels go to members `<number>.cls` (WebDataset), so that `open_source(out)` has the images in
    the same order with the same labels. Several labels or a number of each image are kept as
    :mod:`mae_core.data.sources.packed_targets` says. The files are the same in every run.

    Args:
        data: see :func:`open_source`.
        out: a folder that is not there yet, or empty.
        short_side: pixels, at least 1.
        quality: of the JPEGs, 1 to 100.
        shard_mb: size of a shard, in units of 10^6 bytes.
        progress: called with images done and images in all.
        workers: processes; one a core by default.
        as_stored: neither scale images down nor to 8 bits.
        meaning: `split`, `columns`, `root`, `group` and `unit` of :func:`open_source`.

    Raises:
        UserError: if `out` holds something or cannot be written, a number is out of range, or no
            image can be read.
    """
    for name, value, most in (
        ("short-side", short_side, 1 << 16),
        ("quality", quality, 100),
        ("shard-mb", shard_mb, 1 << 20),
    ):
        if not 1 <= value <= most:
            raise UserError(f"{name} {value}: expected 1 to {most}")
    source = open_source(data, **(meaning or {}))
    if source.groups is not None:
        say(f"{data}: its groups are not kept in the shards, where images are numbers")
    with locked(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"{out} is there already: delete it or name another folder")
        bits = None if as_stored else depth_of(source)
        if bits:
            tell_depth(data, bits)
        shrink = partial(small, short_side=short_side, quality=quality, bits=bits)
        encode: Callable[[Source, int], File] = whole if as_stored else shrink
        files = each_image(source, encode, workers, progress)
        with atomic_folder(out) as folder:
            packed = write_shards(folder, source, files, shard_mb * 10**6)
            if not packed.images:
                raise UserError(f"{data} has no readable image; the first: {packed.unreadable[0]}")
    return packed


def small(
    source: Source, index: int, short_side: int, quality: int, bits: int | None = None
) -> File:
    """The image as it is to be stored."""
    try:
        data = read_stored(source, index)
        opened = open_image(data, 3, source.name(index), bits)
        pixels = opened.pixels()
    except Unreadable as error:
        return File(reason=str(error))
    before = len(data) if isinstance(data, bytes) else data.nbytes
    if min(opened.size) > short_side:
        return File(as_jpeg(scaled_down(pixels, opened.size, short_side), quality), "jpg", before)
    if isinstance(data, bytes):
        return File(data, suffix_of(data), before)
    out = io.BytesIO()
    Image.fromarray(data).save(out, "PNG")
    return File(out.getvalue(), "png", before)


def whole(source: Source, index: int) -> File:
    """The image as it is, an array as .npy."""
    try:
        data = read_stored(source, index)
        read_raster(data, source.name(index))
    except Unreadable as error:
        return File(reason=str(error))
    if isinstance(data, bytes):
        return File(data, suffix_of(data), len(data))
    out = io.BytesIO()
    np.save(out, data, allow_pickle=False)
    return File(out.getvalue(), "image.npy", data.nbytes)


def scaled_down(pixels: Pixels, size: Size, short_side: int) -> Pixels:
    """(H, W, 3) with the shorter of the sides `size` scaled to `short_side`."""
    factor = short_side / min(size)
    height, width = (max(round(side * factor), short_side) for side in size)
    window = Box(0, 0, height, width)
    image = cut(pixels, size, Crop(Box(0, 0, *size), (height, width), window, False, "bicubic"))
    return image.permute(1, 2, 0).contiguous().numpy()


def as_jpeg(pixels: Pixels, quality: int) -> bytes:
    """(H, W, 3) encoded, as grey if it has no colours."""
    if (pixels == pixels[..., :1]).all():
        return simplejpeg.encode_jpeg(
            np.ascontiguousarray(pixels[..., :1]), quality, "GRAY", "Gray"
        )
    return simplejpeg.encode_jpeg(pixels, quality, "RGB", "420")


def suffix_of(data: bytes) -> str:
    """The suffix of an encoded file, from its content."""
    if is_dicom(data):
        return "dcm"
    if data.startswith((*TIFFS, ARRAY)):
        return "image.npy" if data.startswith(ARRAY) else "tiff"
    kind = (Image.open(io.BytesIO(data)).format or "png").lower()
    return "jpg" if kind in ("jpeg", "mpo") else kind


def write_shards(folder: Path, source: Source, files: Iterator[File], limit: int) -> Packed:
    """Write the files, and their labels, to tar files of about `limit` bytes."""
    labels, numbered = label_texts(source)
    suffix, first = ".cls", {}
    if source.targets is not None:
        labels, suffix = target_texts(source.targets), TARGET
        first = {ABOUT: about(source.targets)}
    unreadable: list[str] = []
    images = before = size = 0
    with Shards(folder, limit, first) as shards:
        for index, file in enumerate(files):
            if file.reason:
                unreadable.append(file.reason)
                continue
            key = f"{index:09d}"
            label = {f"{key}{suffix}": labels[index].encode()} if labels[index] else {}
            shards.add({f"{key}.{file.suffix}": file.content, **label})
            images, before, size = images + 1, before + file.size_before, size + len(file.content)
    return Packed(images, before, size, shards.count, numbered, unreadable)


def label_texts(source: Source) -> tuple[list[str], bool]:
    """What the `.cls` of each image says, and whether that is a number in place of a name."""
    texts = ["" if label == NO_LABEL else source.classes[label] for label in source.labels]
    classes, _ = labels_by_name(texts)
    digits = all(text.isdecimal() for text in set(texts) - {""})  # would be read as numbers
    if classes == source.classes and not digits:
        return texts, False
    texts = ["" if label == NO_LABEL else str(label) for label in source.labels]
    return texts, source.classes != [str(number) for number in range(len(source.classes))]


class Shards(AbstractContextManager["Shards"]):
    """Tar files `shard-00000.tar`, ... in a folder, the next begun when one is full.

    Args:
        folder: where they go.
        limit: bytes after which one is full.
        first: files that each of them begins with, by name.

    Attributes:
        count: files begun.
    """

    def __init__(self, folder: Path, limit: int, first: Mapping[str, bytes]) -> None:
        self.folder, self.limit, self.first = folder, limit, first
        self.count = 0
        self.tar: tarfile.TarFile | None = None

    def add(self, members: dict[str, bytes]) -> None:
        """Write files that belong together, by name."""
        if self.tar is None or self.tar.offset >= self.limit:
            self.close()
            file = self.folder / f"shard-{self.count:05d}.tar"
            self.tar = tarfile.open(file, "w")  # noqa: SIM115  closed when it is full
            self.count += 1
            members = {**self.first, **members}
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            self.tar.addfile(info, io.BytesIO(content))

    def close(self) -> None:
        """Complete the file that is open."""
        if self.tar is not None:
            self.tar.close()

    def __exit__(self, *_: object) -> None:
        self.close()
