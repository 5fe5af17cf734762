"""Pictures of what a method of pretraining has learnt."""

from collections.abc import Mapping
from pathlib import Path

import torch

from mae_core.plots import new_figure, save_figure

COLUMNS = 8  # images side by side; further ones follow below
INCHES = 1.15  # the shorter side of an image


def draw_rows(path: Path, rows: Mapping[str, torch.Tensor]) -> None:
    """Save a picture: one column an image, :data:`COLUMNS` beside each other.

    Args:
        path: .png, .jpg, .pdf or another format of matplotlib.
        rows: (N, C, H, W) uint8 by label; of other than three channels the first is drawn as grey.
    """
    count, _, height, width = next(iter(rows.values())).shape
    columns = min(count, COLUMNS)
    bands = -(-count // columns)
    inches = [INCHES * side / min(height, width) for side in (width, height)]
    figure = new_figure(columns * inches[0] + 1.2, bands * len(rows) * inches[1])
    axes = figure.subplots(bands * len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for line, (name, images) in enumerate(rows.items()):
        for number, image in enumerate(images.cpu()):
            band, column = divmod(number, columns)
            axis = axes[band * len(rows) + line, column]
            shown = image if len(image) == 3 else image[:1].expand(3, -1, -1)
            axis.imshow(shown.permute(1, 2, 0), interpolation="nearest")
            if column == 0:
                label = name.replace(": ", "\n")
                axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    save_figure(figure, path, dpi=120)
