"""A figure of a metric against an amount: labels, images, trained blocks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mae_core.plots import COLOURS, lighten, new_figure, save_figure
from mae_core.stage import Metric


class Point(NamedTuple):
    """A metric at an amount."""

    amount: float
    metric: Metric


SHOWN = {"top1": "top-1 accuracy", "map": "mean average precision", "r2": "R²"}


def draw_curves(
    path: Path,
    curves: Mapping[str, Sequence[Point]],
    title: str,
    amount: str,
    log: bool = True,
    value: str = "top1",
) -> None:
    """Write a PNG with a line for each curve, its intervals, and a legend if there are several.

    Args:
        path: of the picture.
        curves: points by name, by ascending amount.
        title: of the figure.
        amount: label of the horizontal axis.
        log: whether amounts grow by factors.
        value: the metric, of :data:`SHOWN`.
    """
    figure = new_figure(5.6, 3.6)
    axis = figure.subplots()
    for (name, points), colour in zip(curves.items(), COLOURS, strict=False):
        axis.errorbar(
            [point.amount for point in points],
            [point.metric.value for point in points],
            [point.metric.ci95 or 0.0 for point in points],
            color=colour,
            marker="o",
            capsize=3,
            label=name,
        )
    amounts = sorted({point.amount for points in curves.values() for point in points})
    axis.set_xscale("log" if log else "linear")
    axis.set_xticks(amounts, [f"{value:g}" for value in amounts])
    axis.minorticks_off()
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set(xlabel=amount, ylabel=SHOWN[value])
    if value == "top1":
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    lighten(axis)
    if len(curves) > 1:
        figure.legend(loc="outside right upper", frameon=False)
    save_figure(figure, path, dpi=150)
