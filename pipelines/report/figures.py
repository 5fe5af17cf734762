"""The report's plots."""

import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from downstream.classification.card import amount
from downstream.classification.few_labels import METHODS
from mae_core.plots import PALETTE, lighten, new_figure, png
from pipelines.report.collect import Benchmark
from pipelines.report.names import order
from pipelines.report.tables import shortened

STYLES = ("-", "--", ":", "-.")
GREY = "#555555"
LINES = (*(colour for colour in PALETTE if colour != "#F0E442"), GREY)  # yellow is too light
MARKERS = "osD^vPX<>"  # one fewer than colours: no two of 90 rows look alike
SETTING = re.compile(r"(\d+)way(\d+)shot")


def loss_curve(benchmark: Benchmark) -> bytes:
    """Pretraining loss by step, a colour for each row that has one.

    Every finite point, and their running mean.
    """
    figure, axis = _axis("Pretraining", "step", "loss on masked patches", len(benchmark.losses))
    lows, highs = [], []
    for encoder, losses in benchmark.losses.items():
        points = np.array(losses).reshape(-1, 2)
        # MLflow keeps an infinite value as the largest float.
        steps, values = points[np.abs(points[:, 1]) < np.finfo(float).max].T
        if not len(values):
            continue
        colour = look(benchmark, encoder)["color"]
        axis.plot(steps, values, color=colour, alpha=0.3, linewidth=1)
        window = max(len(values) // 25, 1)
        smooth = np.convolve(values, np.ones(window) / window, mode="valid")
        label = shortened(encoder)
        axis.plot(steps[window - 1 :], smooth, color=colour, linewidth=2, label=label)
        lows.append(values.min())
        highs.append(min(values.max(), 1.2 * np.percentile(values, 90)))
    if not lows:
        axis.set_title("Pretraining: the loss was never finite", loc="left", fontweight="bold")
        return png(figure)
    low, high = min(lows), max(highs)
    if high > low:
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    if len(benchmark.losses) > 1:
        figure.legend(loc="outside lower center", frameon=False, ncols=2, fontsize="small")
    return png(figure)


def look(benchmark: Benchmark, encoder: str) -> dict[str, Any]:
    """A row's colour and marker, the same in all figures."""
    place = list(dict.fromkeys((*benchmark.encoders, *benchmark.losses))).index(encoder)
    return {"color": LINES[place % len(LINES)], "marker": MARKERS[place % len(MARKERS)]}


def few_shot_curve(benchmark: Benchmark) -> bytes:
    """Accuracy against shots: a colour for each encoder, a line style for each number of ways."""
    settings = shots_by_ways(benchmark)
    figure, axis = _axis("Few-shot", "images a class (shots)", "accuracy", len(benchmark.encoders))
    shots = sorted({shot for one in settings.values() for shot in one})
    styles = {f"{ways}-way": style for ways, style in zip(settings, cycle(STYLES), strict=False)}
    drawn = []
    for encoder in benchmark.encoders:
        for ways, of_ways in settings.items():
            found = [benchmark.value(encoder, f"few-shot/{ways}way{s}shot") for s in of_ways]
            rows = [row for row in found if row is not None]
            if len(rows) < len(of_ways):
                continue
            axis.errorbar(
                of_ways,
                [row.value for row in rows],
                [row.ci95 or 0.0 for row in rows],
                linestyle=styles[f"{ways}-way"],
                capsize=3,
                **look(benchmark, encoder),
            )
            drawn.append(encoder)
    axis.set_xticks(shots)
    axis.margins(x=0.15)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _legend(figure, benchmark, drawn, styles)
    return png(figure)


def shots_by_ways(benchmark: Benchmark) -> dict[int, list[int]]:
    """By number of ways, the shots that encoders were tested with, where there are several."""
    names = {row.metric for row in benchmark.rows if row.task == "few-shot"}
    found: dict[int, set[int]] = {}
    for match in filter(None, map(SETTING.fullmatch, names)):
        found.setdefault(int(match[1]), set()).add(int(match[2]))
    return {ways: sorted(shots) for ways, shots in sorted(found.items()) if len(shots) > 1}


def label_curve(benchmark: Benchmark) -> bytes:
    """Accuracy against labels, one colour an encoder, solid if fine-tuned and dashed if probed."""
    figure, axis = _axis("Few labels", "labelled images", "accuracy", len(benchmark.encoders))
    sets, drawn = label_sets(benchmark), []
    styles = {METHODS[method]: style for method, style in (("finetune", "-"), ("probe", "--"))}
    for encoder in benchmark.encoders:
        for method in ("finetune", "probe"):
            found = [benchmark.value(encoder, f"low-shot/{name}_{method}") for name in sets]
            points = [(place, row) for place, row in enumerate(found) if row is not None]
            if not points:
                continue
            axis.errorbar(
                [place for place, _ in points],
                [row.value for _, row in points],
                [row.ci95 or 0.0 for _, row in points],
                linestyle=styles[METHODS[method]],
                capsize=3,
                **look(benchmark, encoder),
            )
            drawn.append(encoder)
    axis.set_xticks(range(len(sets)), [amount(name) for name in sets])
    axis.set_xlim(-0.4, len(sets) - 0.6)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _legend(figure, benchmark, drawn, styles)
    return png(figure)


def label_sets(benchmark: Benchmark) -> list[str]:
    """The sets of labels of low-shot: '1pct' of 'low-shot/1pct_probe', the smallest first."""
    names = {f"{row.task}/{row.metric}" for row in benchmark.rows if row.task == "low-shot"}
    of_classes = [name for name in sorted(names, key=order) if name.endswith(tuple(METHODS))]
    sets = (name.partition("/")[2].rpartition("_")[0] for name in of_classes)
    return list(dict.fromkeys(sets))


def _axis(title: str, x: str, y: str, rows: int) -> tuple[Figure, Axes]:
    """An empty figure, the higher the more `rows` its legend has below it."""
    figure = new_figure(5.6, 3.6 + 0.1 * max(rows - 3, 0))
    axis = figure.subplots()
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set(xlabel=x, ylabel=y)
    lighten(axis)
    return figure, axis


def _legend(
    figure: Figure, benchmark: Benchmark, drawn: Sequence[str], styles: Mapping[str, str]
) -> None:
    """Below the figure: which row each colour is, then what the lines' styles are."""
    rows = [
        Line2D([], [], label=shortened(encoder), **look(benchmark, encoder))
        for encoder in dict.fromkeys(drawn)
    ]
    kinds = []
    for name, style in styles.items():
        looks: dict[str, Any] = {"color": GREY, "linestyle": style}
        kinds.append(Line2D([], [], label=name, **looks))
    if rows:
        place: dict[str, Any] = {"loc": "outside lower center", "ncols": 2}
        figure.legend(handles=[*rows, *kinds], frameon=False, fontsize="small", **place)
