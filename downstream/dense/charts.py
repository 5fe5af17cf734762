"""Plots of dense results: bars by class, precision against recall, confusion."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from downstream.drawing import colour, save
from mae_core.plots import lighten, new_figure

LINES = 10  # classes with a curve of their own
NAMED = 40  # classes up to which a matrix has their names


def class_bars(values: Mapping[str, float], label: str, path: Path) -> None:
    """A bar for each class, the best first; classes without a value are left out.

    Args:
        values: 0 to 1, or nan, by class.
        label: what they are.
        path: of the PNG.
    """
    known = sorted((value, name) for name, value in values.items() if np.isfinite(value))
    figure = new_figure(6, 1 + 0.22 * max(len(known), 1))
    axis = figure.subplots()
    axis.barh([name for _, name in known], [value for value, _ in known], color=colour(0))
    for place, (value, _) in enumerate(known):
        axis.text(value + 0.01, place, f"{100 * value:.1f}", va="center", fontsize=8)
    axis.set(xlim=(0, 1.08), ylim=(-0.6, len(known) - 0.4), xlabel=label)
    lighten(axis, grid=False)
    save(figure, path)


def recall_curves(
    precision: NDArray[np.float64], names: Sequence[str], title: str, path: Path
) -> None:
    """Precision against recall: the mean over classes, and each of up to ten classes.

    Args:
        precision: (classes, R) at R recalls from 0 to 1; nan for classes without annotations.
        names: of the classes.
        title: of the plot.
        path: of the PNG.
    """
    known = [i for i in range(len(names)) if np.isfinite(precision[i]).all()]
    recall = np.linspace(0, 1, precision.shape[1])
    figure = new_figure(6, 4)
    axis = figure.subplots()
    lines = []
    if 1 < len(known) <= LINES:
        for i in known:
            lines += axis.plot(recall, precision[i], color=colour(i), linewidth=1, label=names[i])
    if known:
        label = "mean of all classes" if len(known) > 1 else names[known[0]]
        mean = precision[known].mean(axis=0)
        lines += axis.plot(recall, mean, color="black", linewidth=2, label=label)
        # Handles are named, else matplotlib leaves out labels that begin with '_'.
        axis.legend(handles=lines, frameon=False, fontsize=8, loc="lower left")
    axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axis.set_title(title, loc="left", fontsize=10)
    lighten(axis, grid=False)
    save(figure, path)


def confusion_matrix(
    counts: NDArray[np.integer], names: Sequence[str], what: str, path: Path
) -> None:
    """Shares of each true class, in a row, by what was found.

    Args:
        counts: (C, C), true class down, found class across.
        names: of the C classes.
        what: is counted.
        path: of the PNG.
    """
    total = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(total, 1)
    side = 3 + 0.3 * min(len(names), NAMED)
    figure = new_figure(side + 1, side)
    axis = figure.subplots()
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, ax=axis, shrink=0.7, label=f"share of the true class's {what}")
    if len(names) <= NAMED:
        axis.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
    if len(names) <= LINES + 2:
        for (row, column), share in np.ndenumerate(shares):
            if total[row]:
                shade = "white" if share > 0.6 else "black"
                text = f"{100 * share:.0f}"
                axis.text(column, row, text, ha="center", va="center", color=shade, fontsize=8)
    axis.set(xlabel="found", ylabel="true")
    save(figure, path)
