"""What a string `data` means: the kind of its source, and its digest."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mae_core.data.roots import meant, path_digest, resolve_path, resolve_root
from mae_core.data.sources.arrays import ArraySource
from mae_core.data.sources.base import Source, is_image, left_out, natural, tell_left_out
from mae_core.data.sources.columns import TEXTS, Columns, checked_columns, holds_paths
from mae_core.data.sources.folder import FolderSource
from mae_core.data.sources.groups import groups_by_pattern
from mae_core.data.sources.paths import (
    PathSource,
    TableFiles,
    check_classes,
    check_files,
    in_split,
)
from mae_core.data.sources.select import Selection, balanced, listed, share_of
from mae_core.data.sources.tar import TarSource
from mae_core.data.sources.targets import SAID, Targets, tell_constant
from mae_core.data.sources.zarr import ZarrSource
from mae_core.data.zarr import is_store
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
    split: str | None = None,
    columns: Columns | None = None,
    root: str | None = None,
    group: str | None = None,
    unit: str | None = None,
) -> Source:
    """The images that `data` means, or a selection of them; docs/data.md has examples.

    All forms of the same images give the same sequence, if their names sort alike. A selection
    keeps the order and the classes of the whole.

    Args:
        data: a folder of images, with or without class folders; a .tar, or a folder of them; a
            .parquet, or a folder of them; an .npz with `images` and perhaps `labels`, or a folder
            of Zarr with these; a .csv, .tsv
            or .parquet with paths of images; `hf:<name or folder>[:<split>]`, a data set of Hugging
            Face; or 'demo/...'.
        names_in: text file with the names of the images to take, relative to `data` or of their
            files alone.
        part: take this range of a seeded order, such as (0.0, 0.9) for training and (0.9, 1.0)
            for validation; whole groups where they are known.
        per_class: then keep only so many images of each class, in a seeded choice.
        seed: of the order and the choice.
        per_class_seed: of the choice, if it differs: an order must be the same for train and val.
        split: take the rows of a table that have this in the column `split`; they come first.
        columns: names of a table's columns by what they hold: `path`, `split`, `group`, and one of
            `label`, `labels` (also a list of columns, each a label's own) and `number`.
        root: the folder that a table's paths are below; the table's own without it.
        group: regular expression that finds an image's group in its name, in place of a column.
        unit: of the number that each image has, such as 'years'.

    Raises:
        UserError: if there is no such thing, it holds no images, or it cannot be read.
    """
    source, place = _open(data, checked_columns(columns), root, group, unit)
    rows = _rows(source, split, data)
    if rows is not None:
        source = Selection(source, rows)
    whole = _whole(source)
    if isinstance(whole, PathSource):
        check_files(source, whole.table, whole.root)
    if names_in is not None:
        source = Selection(source, listed(source, place, meant(names_in)))
    if part is not None:
        source = Selection(source, share_of(source, part, seed))
    if per_class is not None:
        _check_classified(source, per_class, data)
        chosen = seed if per_class_seed is None else per_class_seed
        source = Selection(source, balanced(source.labels, source.classes, per_class, chosen))
    if source.targets is not None:
        tell_constant(source.targets, data)
    return source


def _check_classified(source: Source, per_class: int, data: str) -> None:
    if source.targets is not None:
        raise UserError(
            f"per_class={per_class} needs one class an image, and those of {data} have "
            f"{SAID[source.targets.kind]} each: take a part=(0.0, 0.5) of them"
        )


def listed_in(source: Source, data: str, names_in: str) -> NDArray[np.int64]:
    """The numbers of the images of `source`, which `data` means, that a text file names.

    Raises:
        UserError: as :func:`mae_core.data.sources.select.listed`.
    """
    return listed(source, _place(_whole(source), data), meant(names_in))


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


def data_digest(data: str, columns: Columns | None = None, root: str | None = None) -> str:
    """SHA-256 that changes with the content behind `data`, see `path_digest`.

    That of a table of paths covers the table and the images that it names.

    Args:
        data, columns, root: see :func:`open_source`.

    Raises:
        UserError: if there is no such thing.
    """
    if data.startswith(HUGGING_FACE):
        from mae_core.data.sources.table import hugging_face_digest

        return hugging_face_digest(data)
    return path_digest(resolve_path(data), table_files(data, columns, root))


def table_files(
    data: str, columns: Columns | None = None, root: str | None = None
) -> TableFiles | None:
    """The files behind a table of paths; None for other data.

    Raises:
        UserError: if there is no such thing, or the table cannot be read.
    """
    if data.startswith(HUGGING_FACE):
        return None
    path, named = resolve_path(data), checked_columns(columns)
    if not _is_table_of_paths(path, named):
        return None
    return TableFiles(path, _root(path, data, root), str(named.get("path", "")))


def _open(
    data: str, columns: Columns, root: str | None, group: str | None, unit: str | None
) -> tuple[Source, str]:
    """The whole source and its own place, with which its names begin."""
    opened = _opened.get()
    if opened is None:
        return _open_anew(data, columns, root, group, unit)
    key = json.dumps([data, columns, root, group, unit])
    if key not in opened:
        opened[key] = _open_anew(data, columns, root, group, unit)
    return opened[key]


def _open_anew(
    data: str, columns: Columns, root: str | None, group: str | None, unit: str | None
) -> tuple[Source, str]:
    source = _source(data, columns, root)
    place = _place(source, data)
    if group is not None:
        names = [source.name(number).removeprefix(f"{place}/") for number in range(len(source))]
        source.groups = groups_by_pattern(names, group, data)
    if source.targets is not None:
        check_classes(source.targets.names, data)
    if unit is not None:
        source.targets = _in_unit(source.targets, unit, data)
    return source, place


def _in_unit(targets: Targets | None, unit: object, data: str) -> Targets:
    if targets is None or targets.kind != "number":
        raise UserError(
            f"unit={unit!r} is of numbers, and {data} has none to be learnt: leave it out, or name "
            "their column in columns=dict(number='...')"
        )
    if not isinstance(unit, str) or not unit.strip():
        raise UserError(f"unit={unit!r}: expected a text such as 'years'")
    return replace(targets, unit=unit.strip())


def _source(data: str, columns: Columns, root: str | None) -> Source:
    if data.startswith(HUGGING_FACE):
        from mae_core.data.sources.table import hugging_face_source

        _refuse(data, "root", root)
        return hugging_face_source(data, columns)
    path = resolve_path(data)
    if _is_table_of_paths(path, columns):
        return PathSource(path, _root(path, data, root), columns)
    _refuse(data, "root", root)
    return _open_file(path, columns) if path.is_file() else _open_folder(path, columns)


def _is_table_of_paths(path: Path, columns: Columns) -> bool:
    if path.suffix.lower() in TEXTS:
        return path.is_file()
    return path.suffix == ".parquet" and path.is_file() and holds_paths(path, columns)


def _root(table: Path, data: str, root: str | None) -> Path:
    """As the user wrote it, since a table may write it so, too."""
    if root is not None:
        resolve_root(root)
        return meant(root)
    given = meant(data).parent
    return given if given.resolve() == table.parent else table.parent


def _whole(source: Source) -> Source:
    """What a selection was made from."""
    while isinstance(source, Selection):
        source = source.source
    return source


def _place(source: Source, data: str) -> str:
    """What the names of a whole source begin with."""
    if isinstance(source, PathSource):
        return str(source.root)
    return data if data.startswith(HUGGING_FACE) else str(resolve_path(data))


def _rows(source: Source, split: str | None, data: str) -> NDArray[np.int64] | None:
    """The rows of a table that `split` picks, None for all of them."""
    if isinstance(source, PathSource):
        return in_split(source.splits, split, data)
    if split is None:
        return None
    if isinstance(source, ArraySource | FolderSource | TarSource | ZarrSource):
        _refuse(data, "split", split)
    return in_split(source.texts("split"), split, data)  # type: ignore[attr-defined]


def _refuse(data: str, key: str, value: object) -> None:
    if value is not None and value != {}:
        raise UserError(f"{key}={value!r} is of tables, and {data} is none: leave it out")


def _open_file(path: Path, columns: Columns) -> Source:
    if path.name.lower().endswith(COMPRESSED):
        raise _compressed(path)
    if path.suffix in SHARDS:
        return _open_shards([path], columns)
    if path.suffix != ".npz":
        raise UserError(
            f"{path} is a file of unknown kind: expected a folder of images, .tar, .parquet, .npz, "
            "or a table of paths, .csv or .tsv"
        )
    _refuse(str(path), "columns", columns)
    return ArraySource(path)


def _open_folder(path: Path, columns: Columns) -> Source:
    if is_store(path):
        _refuse(str(path), "columns", columns)
        return ZarrSource(path)
    with os.scandir(path) as entries:
        inside = [entry for entry in entries if not entry.name.startswith(".")]
    names = [entry.name for entry in inside]
    others = [entry.name for entry in inside if entry.is_dir() or is_image(entry.name)]
    shards = sorted((path / n for n in names if n.endswith(SHARDS)), key=lambda p: natural(p.name))
    if not shards:
        compressed = [name for name in names if name.lower().endswith(COMPRESSED)]
        if compressed and not others:
            raise _compressed(path / compressed[0])
        _refuse(str(path), "columns", columns)
        return FolderSource(path)
    splits = SPLITS & {word for p in shards for word in re.findall("[a-z]+", p.stem.lower())}
    if others or len({p.suffix for p in shards}) > 1 or len(splits) > 1:
        raise UserError(
            f"{path} holds {shards[0].name} beside {min(others, default=shards[-1].name)}: name "
            "one file, or a folder that holds the shards of one split and nothing else"
        )
    tell_left_out(left_out(n for n in names if not n.endswith(SHARDS)), path)
    return _open_shards(shards, columns)


def _open_shards(shards: Sequence[Path], columns: Columns) -> Source:
    if shards[0].suffix == ".tar":
        _refuse(str(shards[0]), "columns", columns)
        return TarSource(shards)
    from mae_core.data.sources.table import parquet_source

    return parquet_source(shards, columns)


def _compressed(path: Path) -> UserError:
    return UserError(
        f"{path} is compressed, so that its images cannot be read one by one: unpack it into a "
        "folder, or into an uncompressed .tar"
    )
