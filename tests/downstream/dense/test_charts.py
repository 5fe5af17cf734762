from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from downstream.dense.charts import class_bars, confusion_matrix, recall_curves


def ink(path: Path) -> float:
    return float(np.asarray(Image.open(path).convert("L")).std())


@pytest.mark.parametrize("count", [0, 1, 80])
def test_bars_grow_with_the_classes_and_leave_out_the_unknown(tmp_path: Path, count: int) -> None:
    values = {f"class {i}": i / max(count, 1) for i in range(count)}
    plain, more = tmp_path / "a.png", tmp_path / "b.png"
    class_bars(values, "AP", plain)
    class_bars({**values, "not there": float("nan")}, "AP", more)
    assert plain.read_bytes() == more.read_bytes()
    assert Image.open(plain).height > 20 * count


@pytest.mark.parametrize("count", [1, 4, 30])
def test_curves_are_drawn_for_any_number_of_classes(tmp_path: Path, count: int) -> None:
    precision = np.linspace(1, 0, 101)[None].repeat(count, axis=0)
    precision[-1] = np.nan
    recall_curves(precision, [f"{i}" for i in range(count)], "Precision", tmp_path / "a.png")
    assert ink(tmp_path / "a.png") > 5


@pytest.mark.parametrize("count", [2, 20, 150])
def test_a_matrix_shows_its_diagonal(tmp_path: Path, count: int) -> None:
    names = [f"class {i}" for i in range(count)]
    confusion_matrix(np.eye(count, dtype=int), names, "pixels", tmp_path / "a.png")
    empty = np.zeros((count, count), dtype=int)
    confusion_matrix(empty, names, "pixels", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
