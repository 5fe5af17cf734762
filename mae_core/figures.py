"""Pictures of what a method of pretraining has learnt."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mae_core.plots import new_figure, save_figure

COLUMNS = 8  # images side by side; further ones follow below
INCHES = 1.15  # the shorter side of an image
MASK_GREY = 0.55  # of masked patches in pictures, 0 to 1
DARK, BRIGHT = 0.02, 0.98  # shares of the first row's pixels that are black, and not white


def draw_rows(path: Path, rows: Mapping[str, torch.Tensor]) -> None:
    """Save a picture: one column an image, :data:`COLUMNS` beside each other.

    Args:
        path: .png, .jpg, .pdf or another format of matplotlib.
        rows: (N, C, H, W) uint8 by label, or float32, drawn as :func:`eight_bits` makes them; of
            other than three channels the first is drawn as grey.
    """
    rows = eight_bits(rows)
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
            axis.imshow(colours(image), interpolation="nearest")
            if column == 0:
                label = name.replace(": ", "\n")
                axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    save_figure(figure, path, dpi=120)


def colours(image: torch.Tensor) -> torch.Tensor:
    """(C, H, W) -> (H, W, 3); of other than three channels the first, as grey."""
    shown = image if len(image) == 3 else image[:1].expand(3, -1, -1)
    return shown.permute(1, 2, 0)


def eight_bits(rows: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rows as uint8: floats in the range of the first row, by channel, and NaN as a mask's grey."""
    shown = dict(rows)
    first = next(iter(rows.values()))
    if not first.is_floating_point():
        return shown
    values = first.cpu().transpose(0, 1).flatten(1).numpy()
    low, high = (
        torch.from_numpy(np.quantile(values, share, axis=1)).float().view(-1, 1, 1)
        for share in (DARK, BRIGHT)
    )
    for name, images in rows.items():
        levels = (images.cpu() - low) / (high - low).clamp(min=torch.finfo(torch.float32).tiny)
        levels = levels.clamp(0, 1).nan_to_num(MASK_GREY)
        shown[name] = (255 * levels).round().byte()
    return shown
