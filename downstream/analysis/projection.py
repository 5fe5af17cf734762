"""Features seen in two or three dimensions: patches as colours, images as points."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from downstream.drawing import colour, figure_grid, save
from mae_core.plots import new_figure

Floats = NDArray[np.float32]
MARKERS = "os^Dv"
OUTLIERS = 1  # percent at either end that saturate


def patch_colours(maps: Floats) -> Floats:
    """The first three principal components of patch features as RGB (Oquab et al. 2023, Fig. 1).

    Args:
        maps: (N, D, h, w), features of all patches of N images, which share the components.

    Returns:
        (N, h, w, 3), 0 to 1.
    """
    count, width, height, breadth = maps.shape
    patches = maps.transpose(0, 2, 3, 1).reshape(-1, width)
    parts = PCA(3, svd_solver="full").fit_transform(patches)
    low, high = np.percentile(parts, [OUTLIERS, 100 - OUTLIERS], axis=0)
    scaled = np.clip((parts - low) / np.maximum(high - low, 1e-12), 0, 1)
    return scaled.reshape(count, height, breadth, 3).astype(np.float32)


def draw_patches(path: Path, images: Sequence[np.ndarray], colours: Mapping[str, Floats]) -> None:
    """Write a PNG: an image in each column, below it its patches' colours of each encoder."""
    figure, axes = figure_grid(["image", *colours], len(images), cell=1.1)
    for column, image in enumerate(images):
        axes[0, column].imshow(image)
        for row, maps in enumerate(colours.values(), start=1):
            axes[row, column].imshow(maps[column])
    save(figure, path)


def neighbourhoods(x: Floats, seed: int) -> Floats:
    """t-SNE (van der Maaten and Hinton 2008) of (N, D) features, N at least 3: (N, 2).

    Neighbours stay near; distances between far groups mean nothing.
    """
    perplexity = min(30.0, (len(x) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    with threadpool_limits(1):  # its threads wait for each other, on busy cores ten times longer
        return np.asarray(tsne.fit_transform(x), dtype=np.float32)


def draw_points(
    path: Path, points: Mapping[str, Floats], y: NDArray[np.int64], classes: Sequence[str]
) -> None:
    """Write a PNG of (N, 2) points of each encoder, coloured and shaped by their labels `y` (N,).

    Args:
        path: of the picture.
        points: by encoder.
        y: labels, indices into `classes`; one label has one colour and shape up to 10.
        classes: names.
    """
    figure = new_figure(5.2, 3.8 * len(points) + 0.6)
    axes = figure.subplots(len(points), squeeze=False)[:, 0]
    for axis, (name, xy) in zip(axes, points.items(), strict=True):
        axis.set_title(name, loc="left", fontweight="bold")
        axis.set(xticks=[], yticks=[])
        for label in np.unique(y):
            axis.scatter(
                *xy[y == label].T,
                s=14,
                color=colour(label),
                marker=MARKERS[label % len(MARKERS)],
                linewidths=0,
                label=classes[label],
            )
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, markerscale=1.8
    )
    save(figure, path)
