"""What `mae-bench data` prints: a bar while it reads, then tables."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mae_core.errors import UserError

if TYPE_CHECKING:
    from mae_core.data.bench import Bench
    from mae_core.data.check import Checked
    from mae_core.data.each import Progress as Report
    from mae_core.data.pack import Packed
    from mae_core.data.sources.targets import Targets
    from mae_core.data.stats import Stats

console = Console(highlight=False)

LISTED = 20  # lines of a kind that are shown at most
WIDE = 110  # columns of the table of bands


@contextmanager
def bar(what: str) -> "Iterator[Report]":
    """A progress bar on stderr, as the function that moves it."""
    columns = (
        TextColumn(what),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def overview(data: str, found: "Checked") -> Table:
    """Counts, sizes, kinds and digest."""
    table = Table(title=Text(data), show_header=False, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("images", f"{found.images:,}")
    table.add_row("unreadable", f"{len(found.unreadable):,}")
    if len(found.sizes):
        by_area = found.sizes[found.sizes.prod(axis=1).argsort(kind="stable")]
        for name, place in (("smallest", 0), ("median size", len(by_area) // 2), ("largest", -1)):
            height, width = by_area[place]
            table.add_row(name, f"{width}×{height}")
    if found.filled:
        table.add_row("filled", f"{found.filled:,} numbers that are NaN or nodata")
    table.add_row("kinds", "\n".join(f"{kind}: {count:,}" for kind, count in found.kinds.items()))
    if found.groups is not None:
        table.add_row("groups", f"{found.groups:,}")
    table.add_row("digest", found.digest)
    return table


def report_stats(data: str, found: "Stats") -> None:
    """A table of the bands, and what a config says of them."""
    from mae_core.data.stats import SHARES

    console.print(f"{data}: {found.images:,} images", markup=False, soft_wrap=True)
    table = Table("band", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shares = [f"{share:g}%" for share in SHARES]
    for name in ("mean", "std", "min", *shares, "max", "NaN", "nodata"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, band in zip(found.names, found.bands, strict=True):
        numbers = [band.mean, band.std, band.least, *band.percentiles(), band.most]
        cells = [f"{number:.5g}" for number in numbers]
        table.add_row(Text(name), *cells, f"{band.nan:,}", f"{band.nodata:,}")
    console.print(table, width=max(console.width, WIDE))  # numbers are not to be cut
    how = "are exact" if found.exact else "are to 1/2048 of their value (floats are in bins)"
    console.print(f"percentiles {how}; NaN and nodata are left out", soft_wrap=True)
    for line in found.unreadable:
        console.print("left out:", line, markup=False, soft_wrap=True)
    constant = [name for name, band in zip(found.names, found.bands, strict=True) if band.constant]
    if constant:
        console.print(
            f"no two numbers differ in {', '.join(constant)}: their std is 1 below, as nothing can "
            "be divided by 0; they tell a model nothing, bands=[...] leaves them out",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    deviations = [1.0 if band.constant else band.std for band in found.bands]
    lists = ([band.mean for band in found.bands], deviations)
    mean, std = (", ".join(f"{number:.6g}" for number in numbers) for numbers in lists)
    console.print(f"pixels = dict(mean=[{mean}], std=[{std}])", markup=False, soft_wrap=True)


def class_table(found: "Checked") -> Table:
    """Images by class, the first `LISTED` of them."""
    table = Table("class", title=f"{len(found.classes)} classes", title_justify="left")
    table.add_column("images", justify="right")
    for name, count in list(found.classes.items())[:LISTED]:
        table.add_row(Text(name), f"{count:,}")
    if len(found.classes) > LISTED:
        rest = list(found.classes.values())[LISTED:]
        table.add_row(f"{len(rest)} more", f"{min(rest):,} to {max(rest):,} each")
    if found.unlabelled:
        table.add_row("[italic]no label[/]", f"{found.unlabelled:,}")
    return table


def target_table(targets: "Targets") -> Table:
    """Images by label, the first `LISTED` of them; or the range of their number."""
    values = targets.values.astype(float)
    if targets.kind == "number":
        unit = f" ({targets.unit})" if targets.unit else ""
        table = Table("number", "min", "mean", "max", title="a number each", title_justify="left")
        shown = [f"{number:.6g}" for number in (values.min(), values.mean(), values.max())]
        table.add_row(Text(f"{targets.names[0]}{unit}"), *shown)
        return table
    many = "s" * (len(targets.names) != 1)
    table = Table("label", title=f"{len(targets.names)} label{many}", title_justify="left")
    table.add_column("images", justify="right")
    counts = values.sum(axis=0).astype(int).tolist()
    for name, count in list(zip(targets.names, counts, strict=True))[:LISTED]:
        table.add_row(Text(name), f"{count:,}")
    if rest := counts[LISTED:]:
        table.add_row(f"{len(rest)} more", f"{min(rest):,} to {max(rest):,} each")
    table.add_row("[italic]no label[/]", f"{int((~values.any(axis=1)).sum()):,}")
    table.add_row("[italic]labels an image[/]", f"{values.sum(axis=1).mean():.3g}")
    return table


def tell_faults(faults: Sequence[str], where: Path) -> None:
    """List them. Raises UserError if there are any."""
    for line in faults:
        console.print(line, markup=False, soft_wrap=True)
    if faults:
        raise UserError(
            f"{len(faults):,} fault(s) in {where}: mend them, or leave those images out"
        )


def report_packed(packed: "Packed", out: Path) -> None:
    """What was written, and what was not."""
    for line in packed.unreadable:
        console.print("left out:", line, markup=False, soft_wrap=True)
    before, after = packed.size_before / 1e6, packed.size / 1e6
    console.print(
        f"{out}: {packed.images:,} images, {after:,.1f} MB where there were {before:,.1f}; "
        f"shards: {packed.shards}",
        soft_wrap=True,
    )
    if packed.unreadable:
        console.print(f"{len(packed.unreadable):,} images could not be read")
    if packed.numbered:
        console.print("classes are numbers now, as their names do not sort in their order")


def stage_table(found: "Bench") -> Table:
    """Speed and share of each stage."""
    table = Table("stage", title="one process", title_justify="left")
    table.add_column("images/s", justify="right")
    table.add_column("share of the time", justify="right")
    total = sum(found.seconds.values())
    for name, seconds in found.seconds.items():
        table.add_row(name, f"{1 / seconds:,.0f}", f"{seconds / total:.0%}")
    table.add_row("all", f"{1 / total:,.0f}", "100%", end_section=True)
    table.add_row(f"loader with {found.workers} workers", f"{found.rate:,.0f}", "")
    return table
