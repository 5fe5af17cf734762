"""The report's plots."""

from io import BytesIO
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from pipelines.report.collect import Benchmark

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
SHOTS = (1, 5)


def loss_curve(benchmark: Benchmark) -> bytes:
    """Pretraining loss by step: every finite point, and their running mean."""
    points = np.array(benchmark.losses)
    # MLflow keeps an infinite value as the largest float.
    steps, values = points[np.abs(points[:, 1]) < np.finfo(float).max].T
    figure, axis = _axis("Pretraining", "step", "loss on masked patches")
    if not len(values):
        axis.set_title("Pretraining: the loss was never finite", loc="left", fontweight="bold")
        return _png(figure)
    axis.plot(steps, values, color=COLOURS[0], alpha=0.3, linewidth=1)
    window = max(len(values) // 25, 1)
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    axis.plot(steps[window - 1 :], smooth, color=COLOURS[0], linewidth=2)
    axis.set_ylim(top=min(values.max(), 1.2 * np.percentile(values, 90)))
    return _png(figure)


def few_shot_curve(benchmark: Benchmark) -> bytes:
    """Accuracy against shots, one line an encoder, solid 5-way and dashed 10-way."""
    figure, axis = _axis("Few-shot", "images a class (shots)", "accuracy")
    for encoder, colour in zip(benchmark.encoders, cycle(COLOURS), strict=False):
        for ways, style in ((5, "-"), (10, "--")):
            found = [benchmark.value(encoder, f"few-shot/{ways}way{shot}shot") for shot in SHOTS]
            rows = [row for row in found if row is not None]
            if len(rows) < len(SHOTS):
                continue
            axis.errorbar(
                SHOTS,
                [row.value for row in rows],
                [row.ci95 or 0.0 for row in rows],
                color=colour,
                linestyle=style,
                marker="o",
                capsize=3,
                label=f"{encoder}, {ways}-way",
            )
    axis.set_xticks(SHOTS)
    axis.set_xlim(SHOTS[0] - 0.6, SHOTS[-1] + 0.6)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    if axis.get_legend_handles_labels()[0]:
        figure.legend(loc="outside right upper", frameon=False)
    return _png(figure)


def _axis(title: str, x: str, y: str):  # type: ignore[no-untyped-def]
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set(xlabel=x, ylabel=y)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.3)
    return figure, axis


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
