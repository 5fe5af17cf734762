"""Columns of a table in a text file or in parquet, as text: no value's type is guessed."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mae_core.errors import UserError, suggest
from mae_core.notices import say

TEXTS = (".csv", ".tsv")
KNOWN = {  # names of a column that are known, by what it holds
    "path": ("path", "file", "filename", "file_name", "image"),
    "label": ("label",),
    "split": ("split",),
    "group": ("group",),
    "labels": ("labels",),
    "number": ("number",),
}
TARGETS = ("label", "labels", "number")  # of these an image has one
MAX_BYTES = 1 << 30  # of a text file
SHOWN = 3  # rows in a message
DELIMITERS = (",", ";", "\t")
BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

Columns = Mapping[str, str | Sequence[str]]


def checked_columns(columns: object) -> dict[str, str | Sequence[str]]:
    """What a config says of columns. Raises UserError unless it gives names to :data:`KNOWN`."""
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise UserError(f"columns={columns!r}: expected dict(path='...', label='...')")
    for key, name in columns.items():
        if key not in KNOWN:
            raise UserError(f"columns has the key '{key}'{suggest(str(key), KNOWN)}")
        several = key == "labels" and isinstance(name, list | tuple) and name
        if several and len(set(map(str, name))) == len(name):
            continue
        if not isinstance(name, str):
            more = ", or a list of different names" if key == "labels" else ""
            raise UserError(f"columns.{key}={name!r}: expected the name of a column{more}")
    named = [key for key in TARGETS if key in columns]
    if len(named) > 1:
        raise UserError(f"columns names {told(named)}, of which an image has one: leave out others")
    return dict(columns)


def columns_of(kind: str, names: Sequence[str], columns: Columns, of: str) -> list[str]:
    """The names of the columns that hold the `kind` of :data:`KNOWN`, mostly one; [] for none.

    Args:
        kind: a key of :data:`KNOWN`.
        names: of all columns.
        columns: those that the config names, by kind.
        of: the table, for messages.

    Raises:
        UserError: if the config names one that is not there, or several may be meant.
    """
    if kind in columns:
        wanted = named_as(kind, columns)
        for name in wanted:
            if names.count(name) != 1:
                many = "no" if name not in names else "more than one"
                raise UserError(
                    f"{of} has {many} column '{name}' (columns.{kind}): it has {told(names)}"
                )
        return wanted
    found = known_as(kind, names)
    if len(found) > 1 and len(set(found)) == 1:
        raise UserError(f"{of} has the column '{found[0]}' more than once: rename or delete one")
    if len(found) > 1:
        raise UserError(
            f"{of} has the columns {told(found)}, which may all be the {kind}: name one in "
            f"columns=dict({kind}={found[0]!r})"
        )
    return found


def named_as(kind: str, columns: Columns) -> list[str]:
    """The columns that the config names for the `kind` of :data:`KNOWN`."""
    named = columns.get(kind, [])
    return [named] if isinstance(named, str) else list(named)


def known_as(kind: str, names: Sequence[str]) -> list[str]:
    """The columns whose names alone say that they hold the `kind` of :data:`KNOWN`."""
    return [name for name in names if name.lower() in KNOWN[kind]]


def labelled_by(found: Mapping[str, Sequence[str]], columns: Columns, of: str) -> str | None:
    """Which of :data:`TARGETS` the images of a table have; None for none.

    Args:
        found: the columns that may be meant, by kind.
        columns: those that the config names, by kind.
        of: the table, for messages.

    Raises:
        UserError: if there are several, and the config names none of them.
    """
    there = [name for names in found.values() for name in names]
    for kind in TARGETS:
        if kind in columns:
            if ignored := [name for name in there if name not in named_as(kind, columns)]:
                say(f"{of}: {told(ignored)} is not read, since columns names what is learnt")
            return kind
    kinds = [kind for kind in TARGETS if found.get(kind)]
    if len(kinds) > 1:
        picks = [f"columns=dict({kind}={found[kind][0]!r})" for kind in kinds]
        raise UserError(
            f"{of} has the columns {told(there)}, of which one can be learnt: pick it by "
            f"{' or '.join(picks)}"
        )
    return kinds[0] if kinds else None


def told(names: Iterable[str]) -> str:
    """Names of columns in a message."""
    return ", ".join(f"'{name}'" for name in names) or "none"


def read_columns(
    table: Path, columns: Columns, kinds: Sequence[str] = tuple(KNOWN)
) -> dict[str, dict[str, Any]]:
    """The columns of `table` that are known or named, by kind and name, as Arrow's arrays.

    Spaces around names are taken off. Of :data:`TARGETS` there is one kind.

    Raises:
        UserError: if the file cannot be read as a table, has no rows, or lacks a column; or as
            :func:`labelled_by`.
    """
    if table.suffix.lower() in TEXTS:
        names, read = _text_table(table)
    else:
        names, read = _parquet(table)
    if not any(names):
        raise UserError(f"{table} is empty: expected a first line that names the columns")
    may_be = {kind: known_as(kind, names) for kind in TARGETS if kind in kinds}
    target = labelled_by(may_be, columns, str(table))
    found = {}
    for kind in kinds:
        if kind == target or kind not in TARGETS:
            found[kind] = columns_of(kind, names, columns, str(table))
    if not found["path"]:
        raise UserError(
            f"{table} has no column {told(KNOWN['path'])}: its columns, by its first line (which "
            f"is split at commas, semicolons or tabs), are {told(names)}; name the one with the "
            "images' paths in columns=dict(path='...')"
        )
    wanted = list(dict.fromkeys(name for several in found.values() for name in several))
    values = dict(zip(wanted, read([names.index(name) for name in wanted]), strict=True))
    if not len(values[found["path"][0]]):
        raise UserError(f"{table} has no rows")
    return {kind: {name: values[name] for name in several} for kind, several in found.items()}


def texts(values: Any, of: str) -> list[str]:
    """An Arrow array as text without spaces around; '' for null.

    Raises:
        UserError: if it holds no numbers, names or dates.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        plain = pc.fill_null(values.cast(pa.string()), "")
    except pa.ArrowException as error:
        raise UserError(f"{of} has the type {values.type}: expected text or numbers") from error
    # Quotes that do not begin a value, behind a space, are no quotes to Arrow.
    plain = pc.utf8_trim_whitespace(plain)
    plain = pc.replace_substring_regex(plain, r'^"(.*)"$', r"\1")
    found: list[str] = pc.utf8_trim_whitespace(plain).to_pylist()
    return found


def _text_table(table: Path) -> tuple[list[str], Any]:
    """The names of the columns, and a function that reads those at some places."""
    lines = _decoded(table).lstrip("\r\n\t ")
    head, _, body = lines.replace("\r\n", "\n").replace("\r", "\n").partition("\n")
    delimiter = "\t" if table.suffix.lower() == ".tsv" else max(DELIMITERS, key=head.count)
    names = [name.strip() for name in next(csv.reader([head], delimiter=delimiter), [])]

    def read(places: Sequence[int]) -> list[Any]:
        return _body(body, names, delimiter, places, table)

    return names, read


def _decoded(table: Path) -> str:
    try:
        size = table.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{table} has {size:,} bytes, at most {MAX_BYTES:,} are read")
        content = table.read_bytes()
    except OSError as error:
        raise UserError(f"{table} cannot be read: {error.strerror}") from error
    encoding = next((name for bom, name in BOMS.items() if content.startswith(bom)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("latin-1")
        if "\0" not in text:
            say(f"{table} is no UTF-8 and read as Latin-1: look at its names, or save it as UTF-8")
    if "\0" in text:
        raise UserError(f"{table} is no text: expected a table with a line for each image")
    return text


def _body(
    body: str, names: Sequence[str], delimiter: str, places: Sequence[int], table: Path
) -> list[Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    numbers = [str(place) for place in range(len(names))]
    odd: list[str] = []

    def note(row: Any) -> str:
        odd.append(f"row {row.number} has {row.actual_columns} columns: {row.text[:200]}")
        return "skip"

    if not body.strip():
        return [pa.array([], pa.string()) for _ in places]
    try:
        found = arrow_csv.read_csv(
            io.BytesIO(body.encode("utf-8", "surrogatepass")),
            arrow_csv.ReadOptions(use_threads=False, column_names=numbers),
            arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note
            ),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(numbers, pa.string()),
                include_columns=[numbers[place] for place in places],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowException as error:
        raise UserError(
            f"{table} cannot be read as a table ({error}): look for quotes that do not end"
        ) from error
    if odd:
        raise UserError(
            f"{table} has {len(names)} columns by its first line ({told(names)}), and other "
            f"numbers of them in {len(odd):,} rows; {'; '.join(odd[:SHOWN])}"
        )
    return list(found.columns)


def _parquet(table: Path) -> tuple[list[str], Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(table)
        names = list(file.schema_arrow.names)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{table} cannot be read as parquet ({error}): make it anew") from error

    def read(places: Sequence[int]) -> list[Any]:
        try:
            found = file.read(columns=[names[place] for place in places])
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{table} cannot be read as parquet ({error}): make it anew") from error
        return [found[names[place]] for place in places]

    return names, read


def holds_paths(table: Path, columns: Columns) -> bool:
    """Whether the images of a parquet file are paths of files, not their content.

    Raises:
        UserError: if it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(table)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{table} cannot be read as parquet ({error}): make it anew") from error
    paths = []
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            paths.append(field.name)
        elif "path" not in columns and (pa.types.is_struct(kind) or "binary" in str(kind)):
            return False
    if "path" in columns:
        return columns["path"] in paths
    return any(name.lower() in KNOWN["path"] for name in paths)
