"""`mae-bench convert` and `replay`: files that hold weights."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="not_finite.pth, which a pretraining has left.")],
) -> None:
    """Tell where the numbers end in an update whose gradients were not finite."""
    from mae_core.replay import replay as replay_file

    print(*replay_file(file), sep="\n")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A checkpoint of any known layout.")],
    target: Annotated[Path, typer.Argument(help=".safetensors or .pth; for hf also a folder.")],
    to: Annotated[str, typer.Option(help="native, mae, timm, hf or mmpretrain.")],
    img_size: Annotated[
        str,
        typer.Option(help="Of its images, 224 or 32x128 (height first), where the file is silent."),
    ] = "",
) -> None:
    """Rewrite a checkpoint in another project's layout."""
    from mae_core.convert import convert as convert_file
    from mae_core.grids import parse_size

    done = convert_file(source, target, to, parse_size(img_size) if img_size else None)
    print(f"{target}: {done.written} tensors, from layout '{done.source}' to '{to}'")
    for note in done.notes:
        print(f"{source}: {note}")
    if done.left_out:
        parts = Counter(key.partition(".")[0] for key in done.left_out)
        named = ", ".join(f"{count} of {part}" for part, count in parts.items())
        print(f"left out, as '{to}' has no place for them: {named}")
