"""Columns of a table as what is learnt: several labels an image, or a number."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mae_core.data.sources.base import NO_LABEL, labels_by_name
from mae_core.data.sources.columns import Columns, texts, told
from mae_core.data.sources.targets import Targets, check_size
from mae_core.errors import UserError
from mae_core.notices import counted, say

SEPARATORS = ("|", ";", ",")  # of names in one text; the first that is there, since names have ','
MARKS = {"1": 1, "1.0": 1, "true": 1, "yes": 1, "0": 0, "0.0": 0, "false": 0, "no": 0}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
SHOWN = 3  # rows in a message


def read_targets(
    found: Mapping[str, Mapping[str, Any]],
    columns: Columns,
    of: str,
    names: Sequence[str] | None = None,
) -> Targets | None:
    """What the columns `labels` or `number` of a table hold.

    Args:
        found: Arrow's arrays by what they hold, and by the names of their columns.
        columns: those that the config names, by what they hold.
        of: the table, for messages.
        names: of labels that lists have as numbers; their digits without it.

    Returns:
        None if there is no such column, or no row has a label.

    Raises:
        UserError: if a value is no number, no list of labels, or in a column of a label's own no
            yes or no.
    """
    if found.get("number"):
        ((column, values),) = found["number"].items()
        return number_in(texts(values, f"{of}, '{column}'"), column, of)
    if not found.get("labels"):
        return None
    if not isinstance(columns.get("labels", ""), str):
        return labels_in_columns(found["labels"], of)
    ((column, values),) = found["labels"].items()
    return labels_in_column(values, f"{of}, '{column}'", names)


def number_in(values: Sequence[str], name: str, of: str) -> Targets:
    """The number that each image has. Raises UserError if one is not finite, or none."""
    exact = np.array([float(text) if NUMBER.fullmatch(text) else np.nan for text in values])
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    odd = np.flatnonzero(~np.isfinite(rounded))
    if len(odd):
        rows = ", ".join(f"'{values[row][:40]}' in row {row + 1:,}" for row in odd[:SHOWN])
        raise UserError(
            f"{of}: {len(odd):,} of {len(values):,} values of '{name}' are no finite numbers, such "
            f"as {rows}: write numbers with a decimal point and without a unit (which "
            "unit='...' names), and leave out the rows of images that have none"
        )
    if len(np.unique(rounded)) < len(np.unique(exact)):
        say(
            f"{of}: some numbers of '{name}' are equal after rounding to float32, with 7 digits: "
            "subtract what they have in common"
        )
    return Targets("number", (name,), rounded[:, None])


def labels_in_columns(columns: Mapping[str, Any], of: str) -> Targets:
    """A label for each column. Raises UserError unless its values say yes or no."""
    found = {name: texts(values, f"{of}, '{name}'") for name, values in columns.items()}
    count = len(next(iter(found.values())))
    check_size(count, len(found), of)
    marks = np.zeros((count, len(found)), dtype=np.float32)
    odd: Counter[str] = Counter()
    first = ""
    for place, (name, values) in enumerate(found.items()):
        for row, value in enumerate(values):
            mark = MARKS.get(value.lower())
            if mark is None:
                odd[f"'{value[:40]}'"] += 1
                first = first or f"'{value[:40]}' in row {row + 1:,} of '{name}'"
            else:
                marks[row, place] = mark
    if odd:
        raise UserError(
            f"{of}: values of the columns of labels are neither 0 nor 1, true nor false, yes nor "
            f"no ({counted(odd)}), the first {first}: write one of these for each image "
            "(CheXpert's blank is mostly read as 0; its -1 is uncertain, 0 or 1 is for you to say)"
        )
    return Targets("labels", tuple(found), marks)


def labels_in_column(values: Any, of: str, names: Sequence[str] | None = None) -> Targets | None:
    """The labels that lists have, or texts by a separator, which is found by looking.

    Args:
        values: Arrow's array (N,) of texts, or of lists of names or of whole numbers from 0.
        of: the column, for messages.
        names: of the numbers; their digits without it.

    Returns:
        None if no row has a label; names are in natural order, numbers in their own.

    Raises:
        UserError: if lists hold something else, or a number twice.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not is_list(values.type):
        found = texts(values, of)
        values = pc.split_pattern(pa.array(found, pa.large_string()), separator_of(found, of))
    there = values.is_valid()  # what else Arrow makes of missing lists depends on their type
    lists = values.filter(there)
    flat = pc.list_flatten(lists)
    rows = np.flatnonzero(there)[pc.list_parent_indices(lists).to_numpy()]
    if pa.types.is_integer(flat.type):
        numbers = pc.fill_null(flat.cast(pa.int64(), safe=False), -1).to_numpy()
        return _numbered(rows, numbers, len(values), of, names)
    if pa.types.is_floating(flat.type) or pa.types.is_boolean(flat.type):
        raise UserError(
            f"{of} has lists of {flat.type}: expected lists of names, or of the numbers of labels"
        )
    return _named(rows, texts(flat, of), len(values), of)


def is_list(kind: Any) -> bool:
    """Whether a type of Arrow's is one of lists."""
    import pyarrow as pa

    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def separator_of(values: Sequence[str], of: str) -> str:
    """What is between the names of labels in texts; which one that is, is said."""
    counts = {one: sum(one in value for value in values) for one in SEPARATORS}
    separator, *others = [one for one in SEPARATORS if counts[one]] or [""]
    if not separator:
        if any(values):
            say(f"{of}: no {told(SEPARATORS)} in any row: no image has more than one label")
        return SEPARATORS[0]
    rest = f"; {told(others)} is part of names" if others else ""
    say(f"{of}: labels are separated by '{separator}', in {counts[separator]:,} rows{rest}")
    return separator


def _named(rows: NDArray[np.int64], texts: Sequence[str], count: int, of: str) -> Targets | None:
    names, numbers = labels_by_name(texts)
    there = numbers != NO_LABEL
    alone = np.bincount(rows, minlength=count)[rows] == 1  # a text without a name is no label
    if empty := int((~there & ~alone).sum()):
        say(f"{of}: {empty:,} places for a label are empty, and are none")
    return _marked(rows[there], numbers[there], names, count, of)


def _numbered(
    rows: NDArray[np.int64],
    numbers: NDArray[np.int64],
    count: int,
    of: str,
    names: Sequence[str] | None,
) -> Targets | None:
    largest = int(numbers.max(initial=-1)) if names is None else len(names) - 1
    check_size(count, largest + 1, of)
    odd = np.flatnonzero((numbers < 0) | (numbers > largest))
    if len(odd):
        row, number = rows[odd[0]] + 1, numbers[odd[0]]
        known = "" if names is None else f" to {largest}"
        raise UserError(
            f"{of} has {len(odd):,} numbers that are of no label, such as {number} in row {row:,}: "
            f"expected numbers from 0{known}, in lists that are empty where there is no label"
        )
    pairs, counts = np.unique(np.stack([rows, numbers]), axis=1, return_counts=True)
    if twice := np.flatnonzero(counts > 1).tolist():
        row, number = pairs[:, twice[0]]
        raise UserError(
            f"{of} has the number {number} more than once in row {row + 1:,}: expected lists of "
            "the numbers of an image's labels; a 0 or 1 for each label goes into columns"
        )
    shown = [str(number) for number in range(largest + 1)] if names is None else names
    return _marked(rows, numbers, shown, count, of)


def _marked(
    rows: NDArray[np.int64],
    numbers: NDArray[np.int64],
    names: Sequence[str],
    count: int,
    of: str,
) -> Targets | None:
    """Of pairs of a row and a label."""
    if not len(rows):
        say(f"{of}: no row has a label")
        return None
    check_size(count, len(names), of)
    values = np.zeros((count, len(names)), dtype=np.float32)
    values[rows, numbers] = 1
    if repeated := len(rows) - np.count_nonzero(values):
        say(f"{of}: {repeated:,} labels stand more than once in a row, and count once")
    return Targets("labels", tuple(names), values)
