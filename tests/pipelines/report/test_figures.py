import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from mae_core.plots import COLOURS
from pipelines.report.collect import Benchmark, Row
from pipelines.report.figures import (
    LINES,
    few_shot_curve,
    label_curve,
    look,
    loss_curve,
    shots_by_ways,
)

LARGEST = float(np.finfo(float).max)


def benchmark(
    losses: tuple[tuple[int, float], ...] = (),
    rows: tuple[Row, ...] = (),
    encoders: tuple[str, ...] = ("mae", "random"),
) -> Benchmark:
    return Benchmark("tiny", "id", encoders, rows, {}, {"mae": losses}, {}, {})


def share(png: bytes, colour: str) -> float:
    """Share of pixels in exactly this colour."""
    pixels = np.asarray(Image.open(BytesIO(png)).convert("RGB"))
    return float((pixels == ImageColor.getrgb(colour)).all(axis=-1).mean())


def few_shot(encoder: str, ways: int, values: tuple[float, ...]) -> tuple[Row, ...]:
    return tuple(
        Row(encoder, "few-shot", f"{ways}way{shots}shot", value, 0.01, "id")
        for shots, value in zip((1, 5), values, strict=False)
    )


def test_the_loss_is_drawn() -> None:
    losses = tuple((step, 1 / (1 + step)) for step in range(100))
    assert share(loss_curve(benchmark(losses)), COLOURS[0]) > 1e-3


def test_each_pretraining_has_a_loss_curve_of_its_own() -> None:
    losses = {
        row: tuple((step, low + 1 / (1 + step)) for step in range(100))
        for row, low in (("mae", 0.0), ("raw", 0.5))
    }
    png = loss_curve(replace(benchmark(encoders=("mae", "raw")), losses=losses))
    assert min(share(png, colour) for colour in COLOURS[:2]) > 1e-3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), LARGEST])
def test_a_loss_that_diverged_does_not_cost_the_report(value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = loss_curve(benchmark(tuple((i, 1.0 - i / 9 if i < 6 else value) for i in range(9))))
        empty = loss_curve(benchmark(((1, value),)))
    assert share(drawn, COLOURS[0]) > 1e-3
    assert share(empty, COLOURS[0]) == 0


def test_a_single_point_can_be_drawn() -> None:
    assert Image.open(BytesIO(loss_curve(benchmark(((1, 0.5),))))).size == (840, 540)


def test_each_encoder_has_a_line_in_its_own_colour() -> None:
    rows = few_shot("mae", 5, (0.5, 0.7)) + few_shot("random", 10, (0.2, 0.3))
    png = few_shot_curve(benchmark(rows=rows))
    assert share(png, COLOURS[0]) > 1e-4
    assert share(png, COLOURS[1]) > 1e-4
    assert share(png, COLOURS[2]) == 0


def test_no_encoder_of_many_is_left_out() -> None:
    names = tuple(f"encoder-{i}" for i in range(len(LINES) + 1))
    last = few_shot(names[-1], 5, (0.5, 0.7))
    with_last = few_shot_curve(benchmark(rows=last, encoders=names))
    assert share(with_last, COLOURS[0]) > 1e-4


def test_a_curve_of_one_shot_alone_is_left_out_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = few_shot_curve(benchmark(rows=few_shot("mae", 5, (0.5,))))
    assert share(png, COLOURS[0]) == 0


def test_few_shot_settings_are_those_that_were_run() -> None:
    rows = few_shot("mae", 2, (0.5, 0.7)) + few_shot("random", 7, (0.2,))
    other = Row("mae", "few-shot", "2way1shot_ridge", 0.5, 0.01, "id")
    assert shots_by_ways(benchmark(rows=(*rows, other))) == {2: [1, 5]}
    assert share(few_shot_curve(benchmark(rows=rows)), COLOURS[0]) > 1e-4


def low_shot(encoder: str, method: str, values: tuple[float, ...]) -> tuple[Row, ...]:
    return tuple(
        Row(encoder, "low-shot", f"{name}_{method}", value, 0.01, "id")
        for name, value in zip(("1pct", "10pct"), values, strict=True)
    )


def test_accuracy_against_labels_has_a_line_for_each_encoder() -> None:
    rows = low_shot("mae", "finetune", (0.5, 0.7)) + low_shot("random", "probe", (0.2, 0.3))
    png = label_curve(benchmark(rows=rows))
    assert share(png, COLOURS[0]) > 1e-4
    assert share(png, COLOURS[1]) > 1e-4
    assert share(png, COLOURS[2]) == 0


def test_no_module_makes_figures_of_its_own() -> None:
    """Those of `mae_core.plots` take names for text."""
    root = Path(__file__).parents[3]
    for package in ("mae_core", "downstream", "pipelines"):
        for path in (root / package).rglob("*.py"):
            text = path.read_text()
            assert "pyplot" not in text, path
            assert "Figure(" not in text or path.name == "plots.py", path


def test_no_two_of_many_rows_look_alike() -> None:
    names = tuple(f"encoder-{i}" for i in range(40))
    found = benchmark(encoders=names)
    assert len({tuple(look(found, name).values()) for name in names}) == len(names)
    lone = replace(benchmark(), losses={"mae": (), "unlisted": ()})
    assert len({tuple(look(lone, name).values()) for name in ("mae", "random", "unlisted")}) == 3
