"""A sweep's plots."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mae_core.plots import COLOURS, lighten, new_figure, png
from pipelines.report.names import is_known, other_unit, title, unit
from pipelines.stages import metric_info
from pipelines.sweep.collect import Entry

WIDE = 8  # from this ratio of the largest to the smallest value on, an axis is logarithmic


def curves(trials: Sequence[Entry], names: Sequence[str], metrics: Sequence[str]) -> bytes:
    """Each metric against each parameter, as in Fig. 5 of the MAE paper.

    Points are trials with their intervals; a line goes through the means of each value, where
    trials share values or nothing else varies.
    """
    figure = new_figure(5.0 * len(names) + 0.6, 2.7 * len(metrics) + 0.3)
    grid = figure.subplots(len(metrics), len(names), squeeze=False, sharex="col", sharey="row")
    for metric, axes in zip(metrics, grid, strict=True):
        for name, axis in zip(names, axes, strict=True):
            measured = [one for one in trials if is_known(one.metrics.get(metric, math.nan))]
            draw(axis, name, metric, measured, alone=len(names) == 1)
        units = {one.units.get(metric, "") for one in trials} - {""}
        axes[0].set_ylabel(label(metric, " or ".join(sorted(units))))
    for name, axis in zip(names, grid[-1], strict=True):
        axis.set_xlabel(name.replace("_", " "))
    return png(figure)


def draw(axis: Axes, name: str, metric: str, trials: Sequence[Entry], alone: bool) -> None:
    """One metric against one parameter."""
    places = positions(axis, [one.values[name] for one in trials])
    scale = metric_info(metric).scale
    y = np.array([scale * one.metrics[metric] for one in trials])
    error = np.array([scale * one.intervals.get(metric, 0.0) for one in trials])
    axis.errorbar(places, y, error, fmt="o", color=COLOURS[0], capsize=3, markersize=4)
    distinct = np.unique(places)
    if alone or len(distinct) < len(trials):
        means = [y[places == place].mean() for place in distinct]
        axis.plot(distinct, means, color=COLOURS[0], linewidth=1.5)
    lighten(axis)


def positions(axis: Axes, values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Where values lie on an axis: numbers by size, others side by side in their order."""
    distinct = sorted(set(values), key=lambda value: (str(type(value)), value))
    if not all(map(is_number, values)):
        axis.set_xticks(range(len(distinct)), [str(value) for value in distinct])
        return np.array([distinct.index(value) for value in values], dtype=float)
    if distinct[0] > 0 and distinct[-1] / distinct[0] >= WIDE:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")  # its own is a formula
    if len(distinct) <= 10:
        axis.set_xticks(distinct, [f"{value:g}" for value in distinct])
        axis.minorticks_off()
    return np.array(values, dtype=float)


def is_number(value: Any) -> bool:
    """Whether a parameter's value has a place among others by its size."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def importance_bars(weights: Mapping[str, float], goal: str) -> bytes:
    """How much of the goal's variance over the trials each parameter explains."""
    figure = new_figure(5.6, 0.9 + 0.4 * len(weights))
    axis = figure.subplots()
    names = [name.replace("_", " ") for name in weights][::-1]
    axis.barh(names, [100 * weight for weight in weights.values()][::-1], color=COLOURS[0])
    axis.set(xlabel="% of the variance", xlim=(0, 100))
    axis.set_title(f"What decides: {goal}", loc="left", fontweight="bold")
    lighten(axis, grid=False)
    return png(figure)


def label(metric: str, of_data: str = "") -> str:
    """An axis' label: 'Linear probe,\\ntop-1 (%)', or with a unit of the data in the brackets."""
    shown = f" ({of_data})" if of_data else unit(metric) or other_unit(metric)
    return f"{title(metric)}{shown}".replace(", ", ",\n", 1)
