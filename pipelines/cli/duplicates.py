"""`mae-bench data check TRAIN --against VAL`: images that two data sets share, or one repeats."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from mae_core.errors import UserError
from mae_core.notices import printable
from pipelines.cli.data_shown import LISTED, bar, console
from pipelines.last_net import check_writable

if TYPE_CHECKING:
    from mae_core.data.duplicates import Scanned, Shared


def check_duplicates(data: str, against: Sequence[str], out: Path, workers: int | None) -> None:
    """Find the images of `data` that other sets have too, or itself again; write files to `out`.

    Raises:
        UserError: if there are any in other sets, or images cannot be read.
    """
    from mae_core.data.duplicate_files import NAMES, PICTURE, TABLE, draw, write_names, write_table
    from mae_core.data.duplicates import Shared, duplicates, kept, place_of, scan
    from mae_core.data.sources import open_source

    names = {place_of(name): name for name in [*against, data]}  # each is read once
    sources = [(name, open_source(name)) for name in names.values()]
    check_writable(out)
    scanned: dict[str, Scanned] = {}
    for name, source in sources:
        with bar("reading") as progress:
            scanned[name] = scan(source, progress, workers)
    one = scanned[data]
    found: list[Shared] = []
    for name, other in scanned.items():
        with bar("comparing") as progress:
            pairs = duplicates(one, None if other is one else other, progress)
        found.append(Shared(name, other, pairs, other is one))
    keep = kept(one, found)
    write_table(out / TABLE, one, found)
    write_names(out / NAMES, one, keep, place_of(data))
    drawn = f", {PICTURE} shows some" if draw(out / PICTURE, one, found) else ""
    console.print(overview(data, found))
    show_pairs(one, found)
    console.print(
        f"{out}: {TABLE} has the pairs{drawn}; {NAMES} names the {keep.sum():,} of {len(keep):,} "
        "images that are no duplicates, for names_in",
        markup=False,
        soft_wrap=True,
    )
    advice = f'train with names_in="{out / NAMES}", or ' if keep.any() else ""
    tell_faults(data, scanned, found, f"{advice}choose others")


def overview(data: str, found: Sequence["Shared"]) -> Table:
    """How many images each set shares."""
    table = Table(title=Text(data), title_justify="left")
    table.add_column("compared with", overflow="fold")
    for column in ("images", "unreadable", "flat", "exact duplicates", "near ones"):
        table.add_column(column, justify="right")
    for shared in found:
        other = shared.other
        exact, near = shared.counts()
        numbers = (len(other.readable), len(other.unreadable), int(other.flat.sum()), exact, near)
        name = "itself" if shared.within else shared.name
        table.add_row(Text(name), *(f"{number:,}" for number in numbers))
    return table


def show_pairs(one: "Scanned", found: Sequence["Shared"]) -> None:
    """List the first pairs of each set."""
    from mae_core.data.duplicates import kind

    for shared in found:
        for pair in shared.pairs[:LISTED]:
            names = one.source.name(pair["one"]), shared.other.source.name(pair["other"])
            line = f"{kind(pair)} {pair['similarity']:.3f}: {names[0]}  {names[1]}"
            console.print(printable(line), markup=False, soft_wrap=True)
        if len(shared.pairs) > LISTED:
            console.print(f"and {len(shared.pairs) - LISTED:,} more")


def tell_faults(
    data: str, scanned: "dict[str, Scanned]", found: Sequence["Shared"], advice: str
) -> None:
    """Raise UserError if other sets share images, or some cannot be read."""
    faults = []
    for name, one in scanned.items():
        for line in one.unreadable:
            console.print(line, markup=False, soft_wrap=True)
        if one.unreadable:
            faults.append(
                f"{len(one.unreadable)} of {len(one.readable)} images of {name} cannot be read and "
                "were not compared: repair or delete them"
            )
    for shared in found:
        exact, near = shared.counts()
        if exact + near and not shared.within:
            faults.append(
                f"{exact + near:,} of {len(shared.other.readable):,} images of {shared.name} are "
                f"in {data} too, {exact:,} exactly and {near:,} nearly (look at some): {advice}"
            )
    if faults:
        raise UserError("\n".join(faults))
