"""Pictures of what a MAE sees and predicts."""

from collections.abc import Sequence
from pathlib import Path

import torch

from mae_core.data.normalize import Normalize
from mae_core.mae import MAE
from mae_core.patches import unpatchify
from mae_core.plots import new_figure, save_figure

MASK_GREY = 0.55
COLUMNS = 8  # images side by side; further ones follow below
INCHES = 1.15  # the shorter side of an image


def draw_reconstructions(
    mae: MAE,
    preprocessor: Normalize,
    pixels: torch.Tensor,
    path: Path,
    seed: int = 0,
    mask_ratios: Sequence[float] | None = None,
) -> None:
    """Save a picture: one column an image, :data:`COLUMNS` beside each other.

    Rows are the original, then for each mask ratio what the encoder sees, the prediction of all
    patches, and the prediction with the visible patches pasted over it.

    Args:
        pixels: (N, C, H, W) uint8; of other than three channels the first is drawn as grey.
        path: .png, .jpg, .pdf or another format of matplotlib.
        seed: of the masks.
        mask_ratios: the model's own without them.
    """
    rows = {"original": pixels}
    for ratio in mask_ratios or [mae.mask_ratio]:
        parts = reconstruct(mae, preprocessor, pixels, seed, ratio)
        label = f"{ratio:.0%} masked"
        rows |= {
            label: parts["masked"],
            f"{label}: predicted": parts["predicted"],
            f"{label}: pasted": parts["pasted"],
        }
    _save_grid(rows, path)


@torch.no_grad()
def reconstruct(
    mae: MAE,
    preprocessor: Normalize,
    pixels: torch.Tensor,
    seed: int = 0,
    mask_ratio: float | None = None,
) -> dict[str, torch.Tensor]:
    """'masked', 'predicted' and 'pasted', each (N, C, H, W) uint8 as `pixels`.

    Raises:
        UserError: if the ratio leaves no patch visible.
    """
    mae.eval()
    trained_with = mae.mask_ratio
    mae.mask_ratio = trained_with if mask_ratio is None else mask_ratio
    device = next(mae.parameters()).device
    images = preprocessor.images(pixels.to(device))
    h, w = mae.encoder.grid
    noise = torch.rand(len(images), h * w, generator=torch.Generator().manual_seed(seed))
    out = mae.forward(images, noise.to(device))  # a compiled one would be compiled anew for this
    mae.mask_ratio = trained_with
    size = mae.encoder.patch_size
    mask = out.mask.unsqueeze(-1).expand(-1, -1, size * size * images.shape[1])
    hidden = unpatchify(mask, size, *images.shape[-2:]).bool().cpu()
    predicted = preprocessor.restore(mae.pixels(images, out.pred)).cpu()
    pixels = pixels.cpu()
    return {
        "masked": torch.where(hidden, torch.full_like(pixels, int(255 * MASK_GREY)), pixels),
        "predicted": predicted,
        "pasted": torch.where(hidden, predicted, pixels),
    }


def _save_grid(rows: dict[str, torch.Tensor], path: Path) -> None:
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
