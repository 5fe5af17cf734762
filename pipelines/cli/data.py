"""`mae-bench data`: check a data set, convert, measure, pack it, time its loading."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mae_core.errors import UserError
from pipelines.cli.convert import app as convert_app
from pipelines.cli.data_shown import (
    LISTED,
    bar,
    class_table,
    console,
    overview,
    report_packed,
    report_stats,
    stage_table,
    target_table,
    tell_faults,
)
from pipelines.last_net import checking

if TYPE_CHECKING:
    from mae_core.data.bands import Bands

app = typer.Typer(no_args_is_help=True, help="Check, convert, measure, pack and time a data set.")
app.add_typer(convert_app)

OF_IMAGES = "--workers -o --bands --clip --log1p --fill"  # options of `check` without others
VALUES = 256  # of masks, shown at most
Data = Annotated[
    str,
    typer.Argument(help="A folder, .tar, .parquet, .npz, .csv, hf:<name> or demo/..., as configs."),
]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes; one a core without it.", show_default=False)
]
Meaning = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        metavar="KEY=VALUE",
        help="What a table or a name means, as in configs: split, columns.path, root, group, unit.",
    ),
]

AsStored = Annotated[
    str | None,
    typer.Option(
        "--bands",
        help="Read pixels as they are stored: 'all', or numbers from 0 or names, as 3,2,1.",
        show_default=False,
    ),
]
Clip = Annotated[
    tuple[float, float] | None,
    typer.Option(help="With bands: the range of their numbers.", show_default=False),
]
Log1p = Annotated[bool, typer.Option("--log1p", help="With bands: ln(1 + x), after clipping.")]
Fill = Annotated[
    float | None,
    typer.Option(help="With bands: what NaN and nodata become.", show_default=False),
]


@app.command()
def check(
    data: Data,
    workers: Workers = None,
    meaning: Meaning = None,
    bands: AsStored = None,
    clip: Clip = None,
    log1p: Log1p = False,
    fill: Fill = None,
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
    against: Annotated[
        list[str] | None,
        typer.Option(help="Find the images that this other data has too; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="With --against: a folder for the pairs and a list without them.",
            show_default="duplicates",
        ),
    ] = None,
) -> None:
    """Decode every image, or check a COCO JSON or masks; exit 2 if anything is wrong."""
    given = {
        **{"--workers": workers, "-o": meaning, "--bands": bands, "--clip": clip},
        **{"--log1p": log1p or None, "--fill": fill, "--images": images, "--masks": masks},
        **{"--pixel-values": pixel_values, "--ignored": ignored, "--out": out},
    }
    with checking(f"data check {data}"):
        if against:
            refuse_others("--against, which compares whole sets as RGB,", "--workers --out", given)
            from pipelines.cli.duplicates import check_duplicates

            check_duplicates(data, against, out or Path("duplicates"), workers)
        elif data.endswith(".json"):
            refuse_others("a check of annotations", "--images", given)
            check_coco(Path(data).expanduser(), images)
        elif masks is not None:
            refuse_others("a check of masks", "--masks --pixel-values --ignored", given)
            check_mask_images(Path(data).expanduser(), masks, pixel_values, ignored)
        else:
            refuse_others("a check of images", OF_IMAGES, given)
            chosen = chosen_bands(bands, clip, log1p, fill)
            check_images(data, workers, chosen, meaning)


def refuse_others(what: str, takes: str, given: Mapping[str, object]) -> None:
    """Raise UserError for options that mean nothing to what is done.

    Args:
        what: is done.
        takes: the options that mean something, with blanks between them.
        given: the value of each option by its name, None without.
    """
    odd = [name for name, value in given.items() if value is not None and name not in takes.split()]
    if odd:
        raise UserError(f"{what} takes no {' and no '.join(odd)}, only {takes}: leave it out")


def chosen_bands(
    bands: str | None, clip: tuple[float, float] | None, log1p: bool, fill: float | None = None
) -> "Bands | None":
    """What `--bands` and the options beside it mean; None without any.

    Raises:
        UserError: for others without `--bands`, or if they are wrong.
    """
    from mae_core.data.bands import ALL, any_bands, bands_of

    if bands is None:
        return bands_of(None, None, clip, log1p, fill)
    words = bands.strip("[]").split(",")
    chosen = [int(word) if word.strip().isdecimal() else word.strip() for word in words]
    return any_bands(ALL if bands == ALL else chosen, log1p, clip=clip, fill=fill)


def check_images(
    data: str, workers: int | None, bands: "Bands | None", meaning: Meaning = None
) -> None:
    """Decode all images, and show what is there. Raises UserError if some cannot be read."""
    from mae_core.data.check import check as check_data
    from mae_core.data.sources.base import same_names

    with bar("checking") as progress:
        found = check_data(data, progress, workers, bands, meant_by(meaning))
    labelled = class_table(found) if found.targets is None else target_table(found.targets)
    console.print(overview(data, found), labelled)
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
def stats(
    data: Data,
    bands: AsStored = None,
    clip: Clip = None,
    log1p: Log1p = False,
    meaning: Meaning = None,
    out: Annotated[
        Path | None, typer.Option(help="A picture of the histograms.", show_default=False)
    ] = None,
    workers: Workers = None,
) -> None:
    """Mean, deviation and percentiles of each band, and the line for a config."""
    from mae_core.data.stats import draw_stats
    from mae_core.data.stats import stats as measure

    with checking(f"data stats {data}"):
        with bar("measuring") as progress:
            chosen, meant = chosen_bands(bands, clip, log1p), meant_by(meaning, groups=False)
            found = measure(data, chosen, progress, workers, meant)
        report_stats(data, found)
        if out is not None:
            try:
                draw_stats(out, found)
            except (OSError, ValueError) as error:  # matplotlib does not know the suffix
                raise UserError(f"cannot write {out}: {error}") from error


@app.command()
def pack(
    data: Data,
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    short_side: Annotated[
        int | None,
        typer.Option(help="Pixels; larger images are scaled down.", show_default="256"),
    ] = None,
    quality: Annotated[
        int | None, typer.Option(help="Of the JPEGs, 1 to 100.", show_default="90")
    ] = None,
    shard_mb: Annotated[int, typer.Option(help="Size of a tar file, in MB.")] = 256,
    as_stored: Annotated[
        bool, typer.Option("--as-stored", help="Copy images of any depth and bands unchanged.")
    ] = False,
    workers: Workers = None,
    meaning: Meaning = None,
) -> None:
    """Write a data set anew as tar shards of small JPEGs, which load faster."""
    from mae_core.data.pack import pack as pack_data

    sizes = {"--short-side": short_side, "--quality": quality}
    if as_stored:
        refuse_others("--as-stored", "--shard-mb --workers -o", sizes)
    side, best = (256 if short_side is None else short_side), (90 if quality is None else quality)
    with bar("packing") as progress:
        meant = meant_by(meaning)
        packed = pack_data(data, out, side, best, shard_mb, progress, workers, as_stored, meant)
    report_packed(packed, out)


@app.command()
def example(
    name: Annotated[str, typer.Argument(help="bands, microscopy, rgbd, scenes or sounds.")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    photos: Annotated[
        str | None,
        typer.Option(help="What bands and microscopy are made of.", show_default=False),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(min=1, help="How many; the example's own number without.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
) -> None:
    """Write the images of a worked example, docs/examples.md."""
    from downstream.examples.write import write_example

    with checking(f"data example {name}"), bar("writing") as progress:
        done = write_example(name, folder.expanduser(), photos, images, seed, progress)
    console.print(f"{folder}: {done:,} images", markup=False, soft_wrap=True)


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
    meaning: Meaning = None,
) -> None:
    """Measure loading, stage by stage, and say which stage bounds it."""
    from mae_core.data.bench import ADVICE
    from mae_core.data.bench import bench as measure

    with console.status("measuring"):
        meant = meant_by(meaning, groups=False)
        found = measure(data, input_size, repeats, auto_augment, workers, meant)
    console.print(stage_table(found))
    console.print(f"[bold]{found.rate:,.0f} images/s[/] reach the training")
    if step_rate and step_rate <= found.rate:
        console.print(f"the training step ({step_rate:,.0f} images/s) bounds, not the loading")
        return
    bounded = f", slower than the training step's {step_rate:,.0f}" if step_rate else ""
    console.print(
        f"[bold]{found.bound}[/] bounds the loading{bounded}: {ADVICE[found.bound]}", soft_wrap=True
    )


def meant_by(given: list[str] | None, groups: bool = True) -> dict[str, Any]:
    """What `-o` says of a table, as :func:`mae_core.data.sources.open_source` takes it.

    Without `groups` it cannot name those, which would change nothing.
    """
    from mmengine.config import Config

    from mae_core.config import apply_overrides, literal
    from mae_core.data.images import MEANING
    from mae_core.data.sources.columns import KNOWN

    kinds = [kind for kind in KNOWN if groups or kind != "group"]
    top = [key for key in MEANING if groups or key != "group"]
    config = Config({**dict.fromkeys(top, ""), "columns": dict.fromkeys(kinds, "")})
    apply_overrides(config, given or [])
    found = {key: value for key, value in config.to_dict().items() if key != "columns" and value}
    columns = {kind: name for kind, name in config.columns.items() if name}
    if columns.get("labels", "").startswith("["):  # a column for each label
        columns["labels"] = literal(columns["labels"])
    return {**found, "columns": columns} if columns else found


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
