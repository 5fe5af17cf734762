"""Image files that a table names, a row each: as labs keep their data."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mae_core.data.roots import files_below
from mae_core.data.sources.base import (
    Groups,
    Source,
    labels_by_name,
    one_but_for_capitals,
    one_number,
    packed,
)
from mae_core.data.sources.columns import Columns, read_columns, texts, told
from mae_core.data.sources.folder import FilesBelow
from mae_core.data.sources.groups import groups_by_name
from mae_core.data.sources.target_columns import read_targets
from mae_core.data.sources.targets import Targets
from mae_core.errors import UserError
from mae_core.notices import counted, say

SHOWN = 3  # names in a message
TEXT_KINDS = ("path", "label", "split", "group")


class PathSource(FilesBelow):
    """The image files that the rows of a table name, in the order of the rows.

    A path is relative to `root`, or absolute and below it: a table that somebody else made reads
    nothing outside of a folder that the user named. Links in the folder are followed.

    Args:
        table: .csv, .tsv or .parquet.
        root: a folder.
        columns: names of columns by what they hold, see :mod:`mae_core.data.sources.columns`.

    Attributes:
        splits: of each row; empty without such a column.

    Raises:
        UserError: as :func:`read_columns`, or if a path is empty or leads out of `root`.
    """

    def __init__(self, table: Path, root: Path, columns: Columns) -> None:
        found = read_columns(table, columns)
        self.targets: Targets | None = read_targets(found, columns, str(table))
        text = {}
        for kind in TEXT_KINDS:
            for name, values in found.get(kind, {}).items():
                text[kind] = texts(values, f"{table}, '{name}'")
        self.table, self.root = table, root.resolve()
        names = names_below(text["path"], root, table)
        tell_repeated(names, text.get("label") or rows_of(self.targets), table)
        self.names = packed(names)
        self.classes, self.labels = labels_by_name(text.get("label", [""] * len(names)))
        check_classes(self.classes, table)
        self.splits = text.get("split", [])
        self.groups: Groups | None = None
        if "group" in text:
            self.groups = groups_by_name(text["group"], str(table))


@dataclass(frozen=True)
class TableFiles:
    """The files behind a table of paths, for digests: equal if they are of the same columns.

    Attributes:
        table: the table.
        root: the folder that its paths are below.
        path: the column of the paths, '' if it is known by its name.
    """

    table: Path
    root: Path
    path: str = ""

    def names(self) -> list[str]:
        """The paths of the images below `root`, each once, sorted."""
        columns = {"path": self.path} if self.path else {}
        (paths,) = read_columns(self.table, columns, ("path",))["path"].values()
        found = texts(paths, str(self.table))
        names: set[str] = set()
        for name in names_below(found, self.root, self.table):
            place = self.root / name
            inside = files_below(place) if place.is_dir() else None  # of Zarr
            names |= {name} if inside is None else {f"{name}/{file}" for file in inside}
        return sorted(names)


def names_below(paths: Sequence[str], root: Path, table: Path) -> list[str]:
    """The paths of a table, relative to `root`.

    Windows' backslashes are read as slashes, and that is said.

    Raises:
        UserError: if one is empty or not below `root`.
    """
    if any("\\" in path for path in paths):
        say(f"{table}: the backslashes of its paths are read as slashes")
        paths = [path.replace("\\", "/") for path in paths]
    tops = {f"{top}/".replace("//", "/") for top in (os.path.abspath(root), root.resolve())}
    names, outside, empty = [], [], []
    for row, path in enumerate(paths, start=1):
        name = os.path.normpath(path)
        if name.startswith("/"):
            top = next((top for top in tops if name.startswith(top)), None)
            name = ".." if top is None else name[len(top) :]
        if not path:
            empty.append(row)
        elif name == ".." or name.startswith("../"):
            outside.append(path)
        names.append(name)
    if empty:
        shown = ", ".join(map(str, empty[:SHOWN]))
        raise UserError(f"{table} has {len(empty):,} rows without a path, such as row {shown}")
    if outside:
        raise UserError(
            f"{table} names {len(outside):,} files that are not below {root}, such as "
            f"{', '.join(outside[:SHOWN])}: give a folder that has all of them as root='...'"
        )
    return names


def rows_of(targets: Targets | None) -> list[bytes] | None:
    """What each image is labelled with, to be compared; None without targets."""
    return None if targets is None else [row.tobytes() for row in targets.values]


def tell_repeated(names: Sequence[str], labels: Sequence[object] | None, table: Path) -> None:
    """Say how many rows name a file that one before names, and how many give it another label."""
    seen: dict[str, object] = {}
    repeated, other = 0, 0
    for name, label in zip(names, labels or [""] * len(names), strict=True):
        repeated += name in seen
        other += seen.setdefault(name, label) != label
    if repeated:
        labelled = f", {other:,} of them with another label" if other else ""
        say(
            f"{table}: {repeated:,} rows name an image that a row before names{labelled}: each of "
            "them counts as an image"
        )


def check_classes(classes: Sequence[str], table: object) -> None:
    """Raise UserError if two labels are one number; say which differ in capitals alone."""
    if same := one_number(classes):
        raise UserError(
            f"{table} has the labels '{same[0]}' and '{same[1]}', one number and two classes: "
            "write them alike"
        )
    if alike := one_but_for_capitals(classes):
        say(
            f"{table}: labels that differ in capitals alone are classes of their own: {told(alike)}"
        )


def in_split(splits: Sequence[str], split: str | None, of: str) -> NDArray[np.int64] | None:
    """The rows of a split; None for all, and if there are several that is said.

    Raises:
        UserError: if the table has no such split.
    """
    counts = dict(Counter(split or "without" for split in splits))
    if split is None:
        if len(counts) > 1:
            say(
                f"{of}: the rows of all splits are taken ({counted(counts)}); split='...' picks one"
            )
        return None
    if not splits:
        raise UserError(f"{of} has no column 'split': name one in columns=dict(split='...')")
    wanted = str(split)  # folds have numbers
    chosen = np.flatnonzero([one == wanted for one in splits]).astype(np.int64)
    if not len(chosen):
        raise UserError(f"{of} has no rows of the split {split!r}; it has {counted(counts)}")
    others = [one for one in counts if one != wanted and one.casefold() == wanted.casefold()]
    if others:
        say(
            f"{of}: {told(others)} differ from the split '{wanted}' in capitals alone, and are "
            "others: their rows are left out"
        )
    return chosen


def check_files(source: Source, table: Path, root: Path) -> None:
    """Raise UserError if images of `source` are not there; each folder is listed once."""
    inside: dict[str, set[str]] = {}
    missing = []
    for index in range(len(source)):
        folder, _, file = source.name(index).rpartition("/")
        if folder not in inside:
            inside[folder] = _listed(folder)
        if file not in inside[folder]:
            missing.append(source.name(index).removeprefix(f"{root}/"))
    if missing:
        raise UserError(
            f"{table}: {len(missing):,} of {len(source):,} files are not there, such as "
            f"{', '.join(missing[:SHOWN])}: paths are below {root}, root='...' names another folder"
        )


def _listed(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:  # it is missing itself, or its files cannot be read either
        return set()
