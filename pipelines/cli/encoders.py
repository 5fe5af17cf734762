"""`mae-bench encoders`: which encoders there are, and what is known of each."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from mae_core.catalogue import Offer

app = typer.Typer()
PIPED = 1000  # columns in a file or a pipe, so that no cell is cut
LISTED = 40  # encoders shown at most: each is built, without memory, to count its weights


@app.command()
def encoders(
    pattern: Annotated[
        str,
        typer.Argument(help="Part of a name, or a pattern such as 'convnext*in22k'."),
    ] = "",
) -> None:
    """List the encoders that a row can be: ours, in packages, in the cache, and all of timm's."""
    from mae_core import catalogue

    wide = None if sys.stdout.isatty() else PIPED
    console = Console(highlight=False, width=wide)
    every = catalogue.offers()
    found = catalogue.matching(pattern, every) if pattern else catalogue.here(every)
    show(console, found[:LISTED])
    if len(found) > LISTED:
        console.print(f"and {len(found) - LISTED} more: a longer PATTERN shows them")
    if not pattern:
        for file, source, licence in catalogue.made():
            console.print(f"{file}: of {source}, licence {licence}", markup=False, soft_wrap=True)
        show_groups(console)


def show(console: Console, found: "list[Offer]") -> None:
    """One line for each encoder."""
    from mae_core.catalogue import input_size, parameters
    from pipelines.report.encoders import shown_count

    table = lines("encoder", "weights", "images", "licence", "where")
    with Console(stderr=True).status("counting weights"):
        for offer in found:
            size, count = input_size(offer), shown_count(parameters(offer))
            pixels = f"{size[0]}×{size[1]}" if size else "-"
            table.add_row(offer.spec, count, pixels, offer.licence or "-", offer.where or "-")
    console.print(table)


def show_groups(console: Console) -> None:
    """One line for each of timm's modules."""
    from mae_core.catalogue import groups

    table = lines("timm's family", "weights", "for example")
    for module, count, example in groups():
        table.add_row(module, f"{count:,}", f"timm:{example}")
    console.print()
    console.print(table)
    console.print("mae-bench encoders PATTERN lists them; --encoder timm:<model> takes one")


def lines(*titles: str) -> Table:
    """A table in which only names are folded where the terminal is too narrow."""
    table = Table(box=None, pad_edge=False)
    table.add_column(titles[0], overflow="fold")
    for title in titles[1:]:
        right = title in ("weights", "images")
        folds = title == "for example"
        table.add_column(
            title,
            justify="right" if right else "left",
            no_wrap=not folds,
            overflow="fold" if folds else "ellipsis",
        )
    return table
