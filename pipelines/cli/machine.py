"""`mae-bench doctor` and `clean`: what is wrong with this machine, and what takes its disk."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mae_core.errors import UserError
from pipelines.clean.items import Kind

app = typer.Typer()


@app.command()
def doctor() -> None:
    """Look at everything that a benchmark needs of this machine; exit 2 if anything is wrong."""
    from pipelines.doctor.run import examine

    examine(Console(highlight=False))


@app.command()
def clean(
    kinds: Annotated[
        list[Kind] | None, typer.Argument(help="What to remove.", metavar="KIND...")
    ] = None,
    work_dir: Annotated[
        list[Path] | None, typer.Option(help="May be repeated; all below runs/ without it.")
    ] = None,
) -> None:
    """Show what old files take, and remove the kinds that are named.

    checkpoints: what finished stages trained from, and nobody reads any more.

    superseded: finished stages that the newest benchmark has anew, and what --fresh set aside.

    unfinished: stages that were interrupted, failed or pruned, with what they would go on from.

    cache: what is made or downloaded again when it is needed.

    temporary: left by processes that were killed.
    """
    from pipelines.clean.run import clean as clean_up
    from pipelines.clean.show import show

    found = clean_up(work_dir or [], kinds or [])
    show(found, kinds or [], Console(highlight=False))
    if found.failed:
        raise UserError("\n".join(["not everything could be removed:", *found.failed]))
