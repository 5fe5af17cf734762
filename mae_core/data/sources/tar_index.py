"""Where the images of a tar file lie; found once and kept in the cache folder."""

import hashlib
import os
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mae_core.data.cache import cache_root
from mae_core.data.sources.base import (
    ARRAY,
    SUFFIXES,
    is_image,
    left_out,
    packed,
)
from mae_core.data.sources.packed_targets import ABOUT, TARGET
from mae_core.errors import UserError
from mae_core.files import replacing

LABEL = ".cls"  # WebDataset's suffix of a member with a class, as number or name
PADDING = 1 << 20  # bytes of a tar's end that are checked, writers leave 1 to 10 KiB


class TarIndex(NamedTuple):
    """The images of a tar file, and its .npy files, which are some if no tar file has others.

    Attributes:
        names: (N,) of bytes, the members' paths.
        places: (N, 2) int64, offset and size of the content.
        classes: (N,) of bytes, the text of each image's `<key>.cls`, or empty.
        others: (K,) of bytes, kinds of the members that are no images, `.cls` aside.
        counts: (K,) int64, how many members each of them has.
        about: (1,) of bytes, the text of a member `ABOUT`, or empty.
        targets: (N,) of bytes, the text of each image's `<key>.target` if there is one, or empty.
    """

    names: NDArray[np.bytes_]
    places: NDArray[np.int64]
    classes: NDArray[np.bytes_]
    others: NDArray[np.bytes_]
    counts: NDArray[np.int64]
    about: NDArray[np.bytes_]
    targets: NDArray[np.bytes_]


def tar_index(shard: Path) -> TarIndex:
    """The images of the uncompressed tar file `shard`.

    Raises:
        UserError: if it is damaged or cut off.
    """
    try:
        kept = _kept(shard)
        return _load(kept) or _keep(_build(shard), kept)
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{shard} is no complete tar file ({error}): make it anew") from error
    except OSError as error:
        raise UserError(f"{shard} cannot be read: {error.strerror}") from error


def _build(shard: Path) -> TarIndex:
    names, places, unread, about = [], [], [], ""
    texts: dict[str, dict[str, str]] = {LABEL: {}, TARGET: {}}  # of images, by key
    with tarfile.open(shard, "r:") as tar:
        # A list first: reading a member's content would move the file that the headers are in.
        members = list(tar)
        _check_end(tar)
        packed_by_us = any(member.name == ABOUT for member in members)
        for member in members:
            name = member.name.removeprefix("./")
            if not member.isreg() or member.issparse():
                continue
            if name.endswith(LABEL):
                texts[LABEL][_key(name)] = _text(tar, member)
            elif packed_by_us and name.endswith(TARGET):
                texts[TARGET][_key(name)] = _text(tar, member)
            elif member.name == ABOUT:
                about = _text(tar, member)
            elif is_image(name, (*SUFFIXES, ARRAY)):
                names.append(name)
                places.append((member.offset_data, member.size))
            else:
                unread.append(name)
    others = left_out(unread)
    return TarIndex(
        packed(names),
        np.array(places, dtype=np.int64).reshape(-1, 2),
        packed([texts[LABEL].get(_key(name), "") for name in names]),
        packed(list(others)),
        np.array(list(others.values()), dtype=np.int64),
        packed([about]),
        packed([texts[TARGET].get(_key(name), "") for name in names]),
    )


def _check_end(tar: tarfile.TarFile) -> None:
    """Raise ReadError unless zeros end the tar where its last member does.

    tarfile itself takes a damaged header, or the end of a file that was cut off, for the end.
    """
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    end = tar.fileobj.read(PADDING)
    if len(end) < tarfile.BLOCKSIZE or any(end):
        raise tarfile.ReadError(f"cut off or damaged after {tar.offset:,} bytes")


def _key(name: str) -> str:
    """WebDataset's key: the path up to the first dot of its last part."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    return file.read().decode().strip() if file else ""


def _kept(shard: Path) -> Path:
    """The cache's file for this state of `shard`."""
    state = shard.stat()
    text = f"{shard.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\0{SUFFIXES}{ARRAY}"
    name = hashlib.sha256(os.fsencode(text)).hexdigest()[:24]
    return cache_root() / "tars" / f"{name}.npz"


def _load(kept: Path) -> TarIndex | None:
    try:
        with np.load(kept, allow_pickle=False) as file:
            return TarIndex(*(file[name] for name in TarIndex._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _keep(index: TarIndex, kept: Path) -> TarIndex:
    """Write `index` whole or not at all; without room for it, it is made again next time."""
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as part, part.open("wb") as file:
            np.savez(file, **index._asdict())
    return index
