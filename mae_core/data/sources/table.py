"""Images in tables: parquet files and data sets of Hugging Face, memory-mapped as Arrow."""

import glob
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, DatasetDict, Image, Value
from datasets.exceptions import DatasetsError
from huggingface_hub import HfApi, is_offline_mode
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import HTTPError
from numpy.typing import NDArray

from mae_core.data.decode import Unreadable, read_regular
from mae_core.data.sources.base import (
    NO_LABEL,
    Groups,
    labels_by_name,
    labels_by_number,
    no_labels,
)
from mae_core.data.sources.columns import Columns, columns_of, known_as, labelled_by, texts
from mae_core.data.sources.groups import groups_by_name
from mae_core.data.sources.target_columns import is_list, read_targets
from mae_core.data.sources.targets import Targets
from mae_core.errors import UserError

TIMEOUT = 10.0  # seconds to reach the Hub
ERRORS = (OSError, ValueError, DatasetsError, HTTPError, pa.ArrowException)


class TableSource:
    """The images in the rows of a Hugging Face data set, undecoded, in the order of the rows.

    The image column has the type `Image`, or holds bytes, or structs with `bytes`; the label
    column is called `label` or `cls`, or is the only one of type `ClassLabel`. Other columns that
    are called `labels` or `number` hold what :func:`read_targets` takes.

    Args:
        table: the rows.
        rows: number of rows by what holds them, a file or a data set, in order.
        folders: that files which rows name may lie in.
        columns: names of columns by what they hold: `path` the images, `label`, `labels`,
            `number`, `split`, and `group`, which is not looked for without a name.

    Raises:
        UserError: if there are no rows, not exactly one column can be the images, or one that is
            named is missing.
    """

    def __init__(
        self,
        table: Dataset,
        rows: Mapping[str, int],
        folders: Sequence[str | Path] = (),
        columns: Columns | None = None,
    ) -> None:
        self.folders = [Path(folder).resolve() for folder in folders]
        self.places = list(rows)
        self.starts = np.cumsum([0, *rows.values()])
        if not len(table):
            raise _no_rows(self.places[0])
        self.table, self.columns = table, columns or {}
        named = {kind: self._columns(kind) for kind in self.columns}
        column = next(iter(named.get("path", [])), "") or _image_column(table, self.places[0])
        if not _holds_images(table.features[column]):
            raise UserError(f"{self.places[0]} has no images in the column '{column}'")
        target, names = _target_columns(table, self.places[0], self.columns)
        self.classes, self.labels = _labels(table, self.places[0], names, target)
        self.targets = self._targets(target, names)
        self.groups: Groups | None = (
            groups_by_name(self.texts("group"), self.places[0]) if "group" in named else None
        )
        if isinstance(table.features[column], Image):
            table = table.cast_column(column, Image(decode=False))
        self.images = table.select_columns([column])

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """The file or data set, a slash, and the number of the row in it."""
        place = int(np.searchsorted(self.starts, index, side="right")) - 1
        return f"{self.places[place]}/{index - self.starts[place]}"

    def read(self, index: int) -> bytes:
        """The encoded image; empty if the row has none."""
        (image,) = self.images[int(index)].values()
        if isinstance(image, Mapping):
            content, path = image["bytes"], image.get("path")
            image = self._file(path, index) if content is None and path else content
        return image or b""

    def texts(self, kind: str) -> list[str]:
        """The values of a column by what it holds; [] if there is none. Raises UserError."""
        columns = self._columns(kind)
        if not columns:
            return []
        return texts(_values(self.table, columns[0]), f"{self.places[0]}, '{columns[0]}'")

    def _columns(self, kind: str) -> list[str]:
        return columns_of(kind, list(self.table.features), self.columns, self.places[0])

    def _targets(self, kind: str | None, names: Sequence[str]) -> Targets | None:
        if kind not in ("labels", "number"):
            return None
        feature = self.table.features[names[0]]
        if isinstance(feature, ClassLabel):
            raise UserError(
                f"{self.places[0]} has one class an image in the column '{names[0]}': name it in "
                f"columns=dict(label={names[0]!r})"
            )
        inner = getattr(feature, "feature", None)
        classes = list(inner.names) if isinstance(inner, ClassLabel) else None
        found = {kind: {name: _values(self.table, name) for name in names}}
        return read_targets(found, self.columns, self.places[0], classes)

    def _file(self, path: object, index: int) -> bytes:
        """The file that a row names in place of its content.

        Raises:
            Unreadable: unless it is a regular file below a folder of the table's: whoever made a
                table says what is read here.
        """
        try:
            places = [Path(folder, str(path)).resolve() for folder in self.folders]
            below = zip(self.folders, places, strict=True)
            inside = [place for folder, place in below if place.is_relative_to(folder)]
            found = [place for place in inside if place.is_file()]
            if not found:
                where = " or ".join(map(str, self.folders)) or "it, as it has no folder"
                raise OSError(0, f"{path} is no file below {where}")
            return read_regular(found[0])
        except (OSError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Unreadable.of(self.name(index), reason) from error


def parquet_source(files: Sequence[Path], columns: Columns | None = None) -> TableSource:
    """The rows of parquet files, which are copied once to Hugging Face's cache as Arrow.

    Raises:
        UserError: if a file is damaged, or as :class:`TableSource`.
    """
    rows = {str(file): count for file in files if (count := _rows(file))}
    if not rows:
        raise _no_rows(str(files[0]))
    patterns = [glob.escape(file) for file in rows]
    try:
        table = datasets.load_dataset("parquet", data_files=patterns, split="train")
    except ERRORS as error:
        place = files[0] if len(files) == 1 else files[0].parent
        raise UserError(
            f"{place} cannot be read as one parquet table ({_cause(error)}): make a damaged file "
            "anew, and give all files the same columns"
        ) from error
    return TableSource(table, rows, sorted({file.parent for file in files}), columns)


def hugging_face_source(data: str, columns: Columns | None = None) -> TableSource:
    """The data set `hf:<name or folder>[:<split>]`; the split is `train` by default.

    Raises:
        UserError: if it cannot be loaded, or as :class:`TableSource`.
    """
    table = _hugging_face(data)
    return TableSource(table, {data: len(table)}, _folders(data), columns)


def hugging_face_digest(data: str) -> str:
    """Digest of the version and split that `data` means.

    Raises:
        UserError: if it cannot be loaded.
    """
    return hashlib.sha256(_hugging_face(data)._fingerprint.encode()).hexdigest()


def _rows(file: Path) -> int:
    try:
        count: int = pq.read_metadata(file).num_rows
        return count
    except ERRORS as error:
        raise UserError(f"{file} cannot be read as parquet ({error}): make it anew") from error


def _no_rows(of: str) -> UserError:
    return UserError(f"{of} has no rows")


def _hugging_face(data: str) -> Dataset:
    name, _, split = data.removeprefix("hf:").partition(":")
    folder = Path(name).expanduser()
    try:
        if not name:
            raise ValueError("no name")
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            return _saved(folder, split)
        if folder.is_dir():
            return datasets.load_dataset(str(folder), split=split or "train")
        _check_reachable(name)
        return datasets.load_dataset(name, split=split or "train")
    except ERRORS as error:
        raise UserError(
            f"{data} cannot be loaded ({_cause(error)}): expected hf:<name or folder>[:<split>]"
        ) from error


def _folders(data: str) -> list[str | Path]:
    """Where the files of a data set may lie: its own folder, or for the Hub's what it unpacked."""
    folder = Path(data.removeprefix("hf:").partition(":")[0]).expanduser()
    if folder.is_dir():
        return [folder]
    return [datasets.config.HF_DATASETS_CACHE, HF_HUB_CACHE]


def _saved(folder: Path, split: str) -> Dataset:
    """What `save_to_disk` wrote."""
    saved = datasets.load_from_disk(str(folder))
    splits = saved if isinstance(saved, DatasetDict) else {str(saved.split or "train"): saved}
    wanted = split or ("train" if isinstance(saved, DatasetDict) else next(iter(splits)))
    if wanted not in splits:
        raise ValueError(f"no split '{wanted}', it has {', '.join(splits)}")
    return splits[wanted]


def _check_reachable(name: str) -> None:
    """Ask the Hub once whether it has `name`, as `load_dataset` goes on asking for half a minute.

    Raises:
        UserError: if it does not answer, or has no such data set.
    """
    if is_offline_mode():
        return
    try:
        HfApi().dataset_info(name, timeout=TIMEOUT)
    except ERRORS as error:
        raise UserError(
            f"the Hugging Face Hub has no data set '{name}', or no answer ({_cause(error)}): check "
            "the name; HF_HUB_OFFLINE=1 takes one that was loaded before, without asking"
        ) from error


def _cause(error: BaseException) -> str:
    """The first line of what is behind an error of `datasets`."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _image_column(table: Dataset, of: str) -> str:
    columns = [name for name, kind in table.features.items() if _holds_images(kind)]
    if "image" in columns:
        return "image"
    if len(columns) != 1:
        raise UserError(
            f"{of} has {len(columns)} columns that may be images, of {', '.join(table.features)}: "
            "expected one with encoded images, or one called 'image'"
        )
    return columns[0]


def _holds_images(kind: Any) -> bool:
    if isinstance(kind, Mapping):
        kind = kind.get("bytes")
    return isinstance(kind, Image) or (isinstance(kind, Value) and "binary" in kind.dtype)


def _values(table: Dataset, column: str) -> Any:
    """A column as Arrow has it."""
    return table.select_columns([column]).with_format("arrow")[:].column(0)


def _target_columns(table: Dataset, of: str, columns: Columns) -> tuple[str | None, list[str]]:
    """What images are labelled with, see :func:`labelled_by`, and the columns that hold it."""
    names = list(table.features)
    typed = [name for name, kind in table.features.items() if isinstance(kind, ClassLabel)]
    known = [name for name in ("label", "cls") if name in names]
    may_be = {
        "label": known[:1] or (typed if len(typed) == 1 else []),
        "labels": [name for name in known_as("labels", names) if name not in typed],
        "number": [name for name in known_as("number", names) if name not in typed],
    }
    kind = labelled_by(may_be, columns, of)
    if kind is None:
        return None, []
    if kind in columns or len(may_be[kind]) > 1:
        return kind, columns_of(kind, names, columns, of)
    return kind, may_be[kind]


def _labels(
    table: Dataset, of: str, names: Sequence[str], target: str | None
) -> tuple[list[str], NDArray[np.int64]]:
    """The classes, if these are what images are labelled with, of the column `names`."""
    if target != "label":
        return [], no_labels(len(table))
    values = _values(table, names[0])
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return labels_by_name(pc.fill_null(values, "").to_pylist())
    if not pa.types.is_integer(values.type):
        other = "labels" if is_list(values.type) else "number"
        raise UserError(
            f"{of} has labels of type {values.type}: expected integers or strings, or for "
            f"{'several labels' if other == 'labels' else 'numbers'} to be learnt "
            f"columns=dict({other}={names[0]!r})"
        )
    classes, labels = labels_by_number(pc.fill_null(values, NO_LABEL).to_numpy(), of)
    kind = table.features[names[0]]
    return (list(kind.names) if isinstance(kind, ClassLabel) else classes), labels
