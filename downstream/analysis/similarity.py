"""How alike the layers of two encoders are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from downstream.drawing import save
from mae_core.plots import new_figure


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment of (N, D) and (N, E) features (Kornblith et al. 2019, 3).

    0 to 1; unchanged by rotation and scale of either. 0 if either is constant.
    """
    x, y = (part.double() - part.double().mean(dim=0) for part in (x, y))
    scale = (x.mT @ x).norm() * (y.mT @ y).norm()
    return float((x.mT @ y).square().sum() / scale) if scale else 0.0


def layer_similarity(first: Sequence[Tensor], second: Sequence[Tensor]) -> NDArray[np.float64]:
    """Linear CKA of every layer of `first` with every layer of `second`, on the same images."""
    return np.array([[linear_cka(x, y) for y in second] for x in first])


def draw_similarity(path: Path, similarity: NDArray[np.float64], names: tuple[str, str]) -> None:
    """Write a PNG of (layers, layers) similarities, 0 to 1; `names` are of rows and columns."""
    rows, columns = similarity.shape
    figure = new_figure(4.8, 4.2)
    axis = figure.subplots()
    picture = axis.imshow(similarity, cmap="cividis", vmin=0, vmax=1, origin="lower")
    axis.set(ylabel=f"blocks of {names[0]}", xlabel=f"blocks of {names[1]}")
    axis.set_title("Linear CKA", loc="left", fontweight="bold")
    axis.set_xticks(range(columns), [str(number + 1) for number in range(columns)])
    axis.set_yticks(range(rows), [str(number + 1) for number in range(rows)])
    if max(rows, columns) <= 12:
        for row, column in np.ndindex(rows, columns):
            value = similarity[row, column]
            shade = "white" if value < 0.5 else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=shade, size=8)
    figure.colorbar(picture, ax=axis, shrink=0.8)
    save(figure, path)
