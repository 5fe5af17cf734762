"""Figures as all of ours are: names in them are text, files are written whole or not at all."""

import logging
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mae_core.files import replacing
from mae_core.stage import Reporter

log = logging.getLogger(__name__)

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
# For areas: its yellow, which is too light for lines, and further tones.
PALETTE = (*COLOURS, "#F0E442", "#785EF0", "#AA4465", "#999933")

# Names of classes, files and encoders are no formulas: with two `$` matplotlib would read them so,
# and fail where they are none.
matplotlib.rcParams["text.parse_math"] = False


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, which no window manager knows."""
    return Figure(figsize=(width, height), layout="constrained")


def lighten(axis: Axes, grid: bool = True) -> None:
    """Leave out the frame's upper and right side; with `grid`, draw light horizontal lines."""
    axis.spines[["top", "right"]].set_visible(False)
    if grid:
        axis.grid(axis="y", alpha=0.3)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's content."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure in the format that the name ends with, PNG without one.

    Raises:
        ValueError: if matplotlib does not know the format.
        OSError: if it cannot be written.
    """
    with replacing(path) as part:
        figure.savefig(part, dpi=dpi, format=path.suffix[1:] or "png")


def drawn(path: Path, draw: Callable[[Path], object], reporter: Reporter) -> dict[str, str]:
    """Draw a picture of a result: as an artifact, by its name without suffix, or none if it fails.

    Whatever goes wrong is a note: what was computed is worth more than its picture.
    """
    try:
        draw(path)
    except Exception as error:
        log.warning("%s could not be drawn", path, exc_info=True)
        reporter.note(f"{path.name} could not be drawn ({type(error).__name__}: {error})")
        return {}
    return {path.stem: str(path)}
