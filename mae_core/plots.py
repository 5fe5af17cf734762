"""Figures as all of ours are: names in them are text, files are written whole or not at all."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mae_core.files import replacing

# Names of classes, files and encoders are no formulas: with two `$` matplotlib would read them so,
# and fail where they are none.
matplotlib.rcParams["text.parse_math"] = False


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, which no window manager knows."""
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure in the format that the name ends with, PNG without one.

    Raises:
        ValueError: if matplotlib does not know the format.
        OSError: if it cannot be written.
    """
    with replacing(path) as part:
        figure.savefig(part, dpi=dpi, format=path.suffix[1:] or "png")
