"""Tell what `mae-bench clean` found and did."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from pipelines.clean.items import Kind
from pipelines.clean.run import Found, Row


def show(found: Found, kinds: Sequence[Kind], console: Console) -> None:
    """The rows of the kinds that were to be removed, or of all, and what came or would come free.

    Args:
        found: what there was.
        kinds: what was to be removed; nothing, if it is empty.
        console: to print to.
    """
    rows = {key: row for key, row in found.rows.items() if not kinds or key[0] in kinds}
    if rows:
        console.print(table(rows))
    for note in found.notes:
        console.print(note, markup=False, soft_wrap=True)
    if kinds:
        console.print(f"freed {decimal(found.freed)}")
    elif rows:
        size = decimal(sum(row.size for row in rows.values()))
        named = " ".join(kind for kind in Kind if any(key[0] == kind for key in rows))
        console.print(f"{size} in all; to remove it, or some of it: mae-bench clean {named}")
    else:
        console.print("nothing to remove")


def table(rows: dict[tuple[Kind, Path, str], Row]) -> Table:
    """Kind, place, words, files and bytes, in the order of the kinds."""
    shown = Table("kind", box=None, pad_edge=False, header_style="bold")
    for name in ("where", "what"):
        shown.add_column(name, overflow="fold")
    for name in ("files", "size"):
        shown.add_column(name, justify="right", no_wrap=True)
    order = list(Kind)
    for kind, where, what in sorted(rows, key=lambda key: (order.index(key[0]), *key[1:])):
        row = rows[kind, where, what]
        place = escape(str(where).replace(str(Path.home()), "~", 1))
        shown.add_row(kind, place, escape(what), f"{row.files:,}", decimal(row.size))
    return shown
