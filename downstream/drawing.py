"""Colours and grids for pictures of dense predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mae_core.data.decode import open_file
from mae_core.plots import PALETTE, new_figure, save_figure


def colour(label: int) -> tuple[float, float, float]:
    """RGB, 0 to 1, of class `label`, counted from 0; more classes than colours repeat them."""
    return to_rgb(PALETTE[label % len(PALETTE)])


def paint(image: np.ndarray, mask: np.ndarray, label: int, strength: float = 0.6) -> np.ndarray:
    """A copy of `image` (H, W, 3) uint8, tinted in the class's colour where `mask` (H, W) is."""
    tinted = image.astype(float)
    shade = np.round(255 * np.array(colour(label)))
    tinted[mask] = (1 - strength) * tinted[mask] + strength * shade
    return tinted.astype(np.uint8)


def read_image(path: str | Path) -> np.ndarray:
    """RGB, uint8 (H, W, 3), the right way up. Raises UserError if it is no image."""
    return open_file(path).pixels()


def figure_grid(rows: Sequence[str], columns: int, cell: float = 2.1) -> tuple[Figure, Any]:
    """A figure and its axes (len(rows), columns) without ticks, the rows labelled."""
    figure = new_figure(cell * columns, cell * len(rows) + 0.4)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, name in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(name)
    return figure, axes


def legend(figure: Figure, labels: Mapping[str, int]) -> None:
    """Name the colours of `labels` (name -> class) below the grid."""
    patches = [Patch(color=colour(label), label=name) for name, label in labels.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=6, frameon=False)


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG."""
    save_figure(figure, path, dpi=110)
