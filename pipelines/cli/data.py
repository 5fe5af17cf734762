"""`mae-bench data check | pack | bench`: look at a data set, pack it, measure its loading."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mae_core.errors import UserError
from pipelines.last_net import checking

if TYPE_CHECKING:
    from mae_core.data.bench import Bench
    from mae_core.data.check import Checked
    from mae_core.data.each import Progress as Report
    from mae_core.data.pack import Packed

app = typer.Typer(no_args_is_help=True, help="Check, pack and time a data set.")
console = Console(highlight=False)

LISTED = 20  # classes shown at most
VALUES = 256  # of masks
Data = Annotated[
    str,
    typer.Argument(help="A folder, .tar, .parquet, .npz, hf:<name> or demo/..., as in configs."),
]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes; one a core without it.", show_default=False)
]


@app.command()
def check(
    data: Data,
    workers: Workers = None,
    images: Annotated[
        Path | None, typer.Option(help="Of a COCO JSON: the images' folder.", show_default=False)
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Semantic masks: a folder, or a pattern, masks/{name}_mask.png.",
            show_default=False,
        ),
    ] = None,
    pixel_values: Annotated[
        str | None,
        typer.Option(help="Of masks: that of each class, as in configs.", show_default=False),
    ] = None,
    ignored: Annotated[
        str | None,
        typer.Option(help="Of masks: values without a class.", show_default=False),
    ] = None,
) -> None:
    """Decode every image, or check a COCO JSON or masks; exit 2 if anything is wrong."""
    with checking(f"data check {data}"):
        check_any(data, workers, images, masks, pixel_values, ignored)


def check_any(
    data: str,
    workers: int | None,
    images: Path | None,
    masks: Path | None,
    pixel_values: str | None,
    ignored: str | None,
) -> None:
    """Check what `data` is."""
    if data.endswith(".json"):
        check_coco(Path(data).expanduser(), images)
        return
    if masks is not None:
        check_mask_images(Path(data).expanduser(), masks, pixel_values, ignored)
        return
    from mae_core.data.check import check as check_data
    from mae_core.data.sources.base import same_names

    with bar("checking") as progress:
        found = check_data(data, progress, workers)
    console.print(overview(data, found), class_table(found))
    if same := same_names(list(found.classes)):
        console.print(
            "folders in different places have the same name; each is a class of its own:",
            ", ".join(same[:LISTED]),
            markup=False,
            soft_wrap=True,
        )
    if len(found.classes) == 1:
        console.print("[yellow]one class only:[/] enough to pretrain, not to measure a task")
    if found.unreadable:
        for line in found.unreadable:
            console.print(line, markup=False, soft_wrap=True)
        raise UserError(
            f"{len(found.unreadable)} of {found.images} images cannot be read: repair or delete "
            "them, or train with skip_unreadable=True, which replaces them"
        )


@app.command()
def pack(
    data: Data,
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    short_side: Annotated[int, typer.Option(help="Pixels; larger images are scaled down.")] = 256,
    quality: Annotated[int, typer.Option(help="Of the JPEGs, 1 to 100.")] = 90,
    shard_mb: Annotated[int, typer.Option(help="Size of a tar file, in MB.")] = 256,
    workers: Workers = None,
) -> None:
    """Write a data set anew as tar shards of small JPEGs, which load faster."""
    from mae_core.data.pack import pack as pack_data

    with bar("packing") as progress:
        packed = pack_data(data, out, short_side, quality, shard_mb, progress, workers)
    report_packed(packed, out)


@app.command()
def bench(
    data: Data,
    input_size: Annotated[int, typer.Option(help="Pixels a side of the crops.")] = 224,
    repeats: Annotated[int, typer.Option(min=1, help="Crops of each decoded image.")] = 1,
    auto_augment: Annotated[
        str | None, typer.Option(help="timm's, such as rand-m9-mstd0.5-inc1.", show_default=False)
    ] = None,
    workers: Workers = None,
    step_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Images/s of a training step, to compare.", show_default=False),
    ] = None,
) -> None:
    """Measure loading, stage by stage, and say which stage bounds it."""
    from mae_core.data.bench import ADVICE
    from mae_core.data.bench import bench as measure

    with console.status("measuring"):
        found = measure(data, input_size, repeats, auto_augment, workers)
    console.print(stage_table(found))
    console.print(f"[bold]{found.rate:,.0f} images/s[/] reach the training")
    if step_rate and step_rate <= found.rate:
        console.print(f"the training step ({step_rate:,.0f} images/s) bounds, not the loading")
        return
    bounded = f", slower than the training step's {step_rate:,.0f}" if step_rate else ""
    console.print(
        f"[bold]{found.bound}[/] bounds the loading{bounded}: {ADVICE[found.bound]}", soft_wrap=True
    )


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
    table = Table(title=data, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("images", f"{found.images:,}")
    table.add_row("unreadable", f"{len(found.unreadable):,}")
    if len(found.sizes):
        by_area = found.sizes[found.sizes.prod(axis=1).argsort(kind="stable")]
        for name, place in (("smallest", 0), ("median size", len(by_area) // 2), ("largest", -1)):
            height, width = by_area[place]
            table.add_row(name, f"{width}×{height}")
    table.add_row("kinds", "\n".join(f"{kind}: {count:,}" for kind, count in found.kinds.items()))
    table.add_row("digest", found.digest)
    return table


def class_table(found: "Checked") -> Table:
    """Images by class, the first `LISTED` of them."""
    table = Table("class", title=f"{len(found.classes)} classes", title_justify="left")
    table.add_column("images", justify="right")
    for name, count in list(found.classes.items())[:LISTED]:
        table.add_row(name, f"{count:,}")
    if len(found.classes) > LISTED:
        rest = list(found.classes.values())[LISTED:]
        table.add_row(f"{len(rest)} more", f"{min(rest):,} to {max(rest):,} each")
    if found.unlabelled:
        table.add_row("[italic]no label[/]", f"{found.unlabelled:,}")
    return table


def check_coco(path: Path, images: Path | None) -> None:
    """Show what a COCO file holds. Raises UserError if anything in it is wrong."""
    from downstream.dense.faults import check_annotations, images_of

    folder = images or (images_of(path) if path.is_file() else path.parent)
    with console.status("checking"):
        found = check_annotations(path, folder)
    console.print(f"{path}, images in {folder}", soft_wrap=True, markup=False)
    table = Table("category")
    table.add_column("instances", justify="right")
    for name, count in found.instances.items():
        table.add_row(Text(name), f"{count:,}")
    console.print(table)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.kinds.items()))
    masks = "boxes without masks" if [*found.kinds] == ["none"] else f"masks: {kinds}"
    console.print(f"{found.images:,} images, {found.empty:,} without annotation; {masks}")
    tell_faults([*found.faults, *found.flat], path)


def check_mask_images(
    images: Path, masks: Path, pixel_values: str | None, ignored: str | None
) -> None:
    """Show what masks hold. Raises UserError if anything in them is wrong."""
    from downstream.dense.label_map import told_value
    from downstream.dense.mask_folder import check_mask_folder
    from mae_core.config import literal

    settings = [None if text is None else literal(text) for text in (pixel_values, ignored)]
    with console.status("checking"):
        found = check_mask_folder(images, masks, *settings)
    classes = f"{len(found.labels.values)} classes" + " by colour" * found.labels.coloured
    where = f"{found.images:,} images in {images}, masks in {masks}: {classes}"
    console.print(where, soft_wrap=True, markup=False)
    table = Table("value", "class")
    table.add_column("share of the pixels", justify="right")
    frequent = sorted(found.pixels, key=lambda value: -found.pixels[value])[:VALUES]
    for value in sorted(frequent):
        label = found.labels.labels.get(value, "none")
        table.add_row(
            told_value(value, found.labels.coloured), str(label), f"{found.pixels[value]:.2%}"
        )
    if len(found.pixels) > VALUES:
        table.add_row(f"{len(found.pixels) - VALUES:,} more", "", "")
    console.print(table)
    for note in found.notes:
        console.print(note, style="yellow", markup=False, soft_wrap=True)
    tell_faults(found.faults, masks)


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
