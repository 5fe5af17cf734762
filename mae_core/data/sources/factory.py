"""What a string `data` means: the kind of its source, and its digest."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mae_core.data.roots import meant, path_digest, resolve_path
from mae_core.data.sources.arrays import ArraySource
from mae_core.data.sources.base import Source, is_image, left_out, natural, tell_left_out
from mae_core.data.sources.folder import FolderSource
from mae_core.data.sources.select import Selection, balanced, listed, share
from mae_core.data.sources.tar import TarSource
from mae_core.errors import UserError

HUGGING_FACE = "hf:"
SHARDS = (".tar", ".parquet")
COMPRESSED = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
SPLITS = {"train", "val", "validation", "test"}
_opened: ContextVar[dict[str, tuple[Source, str]] | None] = ContextVar("opened", default=None)


def open_source(
    data: str,
    names_in: str | None = None,
    part: Sequence[float] | None = None,
    per_class: int | None = None,
    seed: int = 0,
    per_class_seed: int | None = None,
) -> Source:
    """The images that `data` means, or a selection of them; docs/data.md has examples.

    All forms of the same images give the same sequence, if their names sort alike. A selection
    keeps the order and the classes of the whole.

    Args:
        data: a folder of images, with or without class folders; a .tar, or a folder of them; a
            .parquet, or a folder of them; an .npz with `images` and perhaps `labels`;
            `hf:<name or folder>[:<split>]`, a data set of Hugging Face; or 'demo/...'.
        names_in: text file with the names of the images to take, relative to `data` or of their
            files alone.
        part: take this range of a seeded order, such as (0.0, 0.9) for training and (0.9, 1.0)
            for validation.
        per_class: then keep only so many images of each class, in a seeded choice.
        seed: of the order and the choice.
        per_class_seed: of the choice, if it differs: an order must be the same for train and val.

    Raises:
        UserError: if there is no such thing, it holds no images, or it cannot be read.
    """
    source, place = _open(data)
    if names_in is not None:
        source = Selection(source, listed(source, place, meant(names_in)))
    if part is not None:
        source = Selection(source, share(len(source), part, seed))
    if per_class is not None:
        chosen = seed if per_class_seed is None else per_class_seed
        source = Selection(source, balanced(source.labels, source.classes, per_class, chosen))
    return source


def listed_in(source: Source, data: str, names_in: str) -> NDArray[np.int64]:
    """The numbers of the images of `source`, which `data` means, that a text file names.

    Raises:
        UserError: as :func:`mae_core.data.sources.select.listed`.
    """
    place = data if data.startswith(HUGGING_FACE) else str(resolve_path(data))
    return listed(source, place, meant(names_in))


@contextmanager
def opened_once() -> Iterator[None]:
    """Within the block no data is listed twice: for checks of many stages on the same images."""
    token = _opened.set({})
    try:
        yield
    finally:
        _opened.reset(token)


def check_data(data: str) -> None:
    """Raise UserError if the file or folder that `data` means is missing; asks no network."""
    if not data.startswith(HUGGING_FACE):
        resolve_path(data)


def data_digest(data: str) -> str:
    """SHA-256 that changes with the content behind `data`, see `path_digest`.

    Raises:
        UserError: if there is no such thing.
    """
    if data.startswith(HUGGING_FACE):
        from mae_core.data.sources.table import hugging_face_digest

        return hugging_face_digest(data)
    return path_digest(resolve_path(data))


def _open(data: str) -> tuple[Source, str]:
    """The whole source and its own place, with which its names begin."""
    opened = _opened.get()
    if opened is None:
        return _open_anew(data)
    if data not in opened:
        opened[data] = _open_anew(data)
    return opened[data]


def _open_anew(data: str) -> tuple[Source, str]:
    if data.startswith(HUGGING_FACE):
        from mae_core.data.sources.table import hugging_face_source

        return hugging_face_source(data), data
    path = resolve_path(data)
    return _open_file(path) if path.is_file() else _open_folder(path), str(path)


def _open_file(path: Path) -> Source:
    if path.name.lower().endswith(COMPRESSED):
        raise _compressed(path)
    if path.suffix == ".npz":
        return ArraySource(path)
    if path.suffix not in SHARDS:
        raise UserError(
            f"{path} is a file of unknown kind: expected a folder of images, .tar, .parquet or .npz"
        )
    return _open_shards([path])


def _open_folder(path: Path) -> Source:
    with os.scandir(path) as entries:
        inside = [entry for entry in entries if not entry.name.startswith(".")]
    names = [entry.name for entry in inside]
    others = [entry.name for entry in inside if entry.is_dir() or is_image(entry.name)]
    shards = sorted((path / n for n in names if n.endswith(SHARDS)), key=lambda p: natural(p.name))
    if not shards:
        compressed = [name for name in names if name.lower().endswith(COMPRESSED)]
        if compressed and not others:
            raise _compressed(path / compressed[0])
        return FolderSource(path)
    splits = SPLITS & {word for p in shards for word in re.findall("[a-z]+", p.stem.lower())}
    if others or len({p.suffix for p in shards}) > 1 or len(splits) > 1:
        raise UserError(
            f"{path} holds {shards[0].name} beside {min(others, default=shards[-1].name)}: name "
            "one file, or a folder that holds the shards of one split and nothing else"
        )
    tell_left_out(left_out(n for n in names if not n.endswith(SHARDS)), path)
    return _open_shards(shards)


def _open_shards(shards: Sequence[Path]) -> Source:
    if shards[0].suffix == ".tar":
        return TarSource(shards)
    from mae_core.data.sources.table import parquet_source

    return parquet_source(shards)


def _compressed(path: Path) -> UserError:
    return UserError(
        f"{path} is compressed, so that its images cannot be read one by one: unpack it into a "
        "folder, or into an uncompressed .tar"
    )
