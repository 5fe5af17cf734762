"""`mae-bench data convert`: annotations of other tools become the COCO JSON that detect takes."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mae_core.notices import counted
from pipelines.last_net import checking

if TYPE_CHECKING:
    from downstream.dense.convert.convert import Converted

app = typer.Typer()
console = Console(highlight=False)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A folder or a file of annotations.")],
    out: Annotated[Path, typer.Argument(help="The COCO JSON, such as train.json.")],
    kind: Annotated[str, typer.Option("--from", help="coco, cvat, labelme, voc or yolo.")],
    images: Annotated[
        Path | None,
        typer.Option(help="The images' folder; where SOURCE is without it.", show_default=False),
    ] = None,
    classes: Annotated[
        str,
        typer.Option(help="Those to take, in order: a,b,c or another file's, such as train.json."),
    ] = "",
    boxes: Annotated[bool, typer.Option("--boxes", help="Boxes alone, without masks.")] = False,
    zero_based: Annotated[
        bool, typer.Option("--zero-based", help="VOC: edges from 0, in place of pixels from 1.")
    ] = False,
) -> None:
    """Write Pascal VOC, YOLO, LabelMe, CVAT or COCO annotations as a sound COCO JSON."""
    from downstream.dense.convert.convert import Job, parse_classes
    from downstream.dense.convert.convert import convert as convert_annotations

    source, out = source.expanduser(), out.expanduser()
    folder = images.expanduser() if images else source if source.is_dir() else source.parent
    with checking(f"data convert {source}"), console.status("converting"):
        chosen = parse_classes(classes) if classes else None
        done = convert_annotations(Job(source, kind, folder, chosen, boxes, zero_based), out)
    report(done, out, folder)


def report(done: "Converted", out: Path, images: Path) -> None:
    """Tell what was mended, dropped and left out, and what to do next."""
    for what, lines in (("mended", done.mended), ("dropped", done.dropped), ("size", done.sizes)):
        for line in lines:
            console.print(f"{what}: {line}", markup=False, soft_wrap=True)
    for note in done.notes:
        console.print(note, style="yellow", markup=False, soft_wrap=True)
    content = done.content
    masks = sum("segmentation" in entry for entry in content.annotations)
    found = f"{len(content.annotations) - masks:,} boxes, {masks:,} polygons or masks"
    left_out = f" ({counted(done.left_out)})" if done.left_out else ""
    console.print(
        f"{out}: {len(content.images):,} images, {done.empty:,} without objects; {found} of "
        f"{len(content.names):,} classes; mended {len(done.mended):,}, dropped {done.lost:,}, "
        f"left out {sum(done.left_out.values()):,}{left_out}",
        markup=False,
        soft_wrap=True,
    )
    check = shlex.join(["mae-bench", "data", "check", str(out), "--images", str(images)])
    print(f"next: {check}; for a file with the same classes: --classes {shlex.quote(str(out))}")
