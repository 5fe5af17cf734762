"""Images inside uncompressed tar files, read in place."""

import os
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np
from timm.utils.misc import natural_key

from mae_core.data.sources.base import (
    is_image,
    labels_by_folder,
    labels_by_name,
    labels_by_number,
    no_images,
    packed,
)
from mae_core.errors import UserError

LABEL = ".cls"  # WebDataset's suffix of a member with a class, as number or name
OPEN_FILES = 256  # of one process; systems allow 1,024 and more
PADDING = 1 << 20  # bytes of a tar's end that are checked, writers leave 1 to 10 KiB


class Member(NamedTuple):
    """An image in a shard: its content's place in bytes, and what its `.cls` says, or ''."""

    name: str
    shard: int
    offset: int
    size: int
    label: str


class TarSource:
    """The images in tar files, in natural order of their names inside.

    Where members `<key>.cls` exist, they hold the classes: numbers from 0, or names; `<key>` is
    an image's name up to the first dot after its folder. Otherwise the class is the folder.

    Args:
        shards: the files; how images are spread over them does not matter.

    Raises:
        UserError: if a file is damaged or cut off, or there are no images.
    """

    def __init__(self, shards: Sequence[Path]) -> None:
        members = [m for number, shard in enumerate(shards) for m in _members(shard, number)]
        if not members:
            raise no_images(shards[0] if len(shards) == 1 else shards[0].parent)
        members.sort(key=lambda m: (natural_key(m.name), m.name, m.shard, m.offset))
        self.shards = [str(shard) for shard in shards]
        self.names = packed([m.name for m in members])
        self.places = np.array([(m.shard, m.offset, m.size) for m in members], dtype=np.int64)
        stated = [m.label for m in members]
        if not any(stated):
            self.classes, self.labels = labels_by_folder([m.name for m in members])
        elif all(label.isdecimal() for label in stated if label):
            numbers = np.array([int(label or -1) for label in stated])
            self.classes, self.labels = labels_by_number(numbers, self.shards[0])
        else:
            self.classes, self.labels = labels_by_name(stated)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The tar file's path, a slash, and the member's name."""
        return f"{self.shards[self.places[index, 0]]}/{os.fsdecode(self.names[index])}"

    def read(self, index: int) -> bytes:
        """The member's content; shorter, if the file was cut off since it was opened."""
        shard, offset, size = self.places[index].tolist()
        file = _opened(self.shards[shard])
        return os.pread(file.fileno(), size, offset)


@lru_cache(OPEN_FILES)
def _opened(path: str) -> BinaryIO:
    """The file, kept open in this process; `os.pread` needs no position, so forks may share it."""
    return open(path, "rb", buffering=0)


def _members(shard: Path, number: int) -> list[Member]:
    """The shard's images."""
    try:
        with tarfile.open(shard, "r:") as tar:
            found = [(m.name.removeprefix("./"), m) for m in tar if m.isreg()]
            _check_end(tar)
            labels = {_key(name): _text(tar, m) for name, m in found if name.endswith(LABEL)}
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{shard} is no complete tar file ({error}): make it anew") from error
    except OSError as error:
        raise UserError(f"{shard} cannot be read: {error.strerror}") from error
    return [
        Member(name, number, m.offset_data, m.size, labels.get(_key(name), ""))
        for name, m in found
        if is_image(name)
    ]


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
    path = PurePosixPath(name)
    return str(path.with_name(path.name.split(".")[0] or path.name))


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    return file.read().decode().strip() if file else ""
