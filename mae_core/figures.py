"""Pictures of what a MAE sees and predicts."""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from mae_core.engine.preprocess import Normalize
from mae_core.mae import MAE
from mae_core.patches import unpatchify

MASK_GREY = 0.55


def draw_reconstructions(
    mae: MAE, preprocessor: Normalize, pixels: torch.Tensor, path: Path, seed: int = 0
) -> None:
    """Save a picture: one column an image; rows original, masked, reconstruction.

    The reconstruction shows visible patches as they are, and the rest as predicted.

    Args:
        pixels: (N, C, H, W) uint8.
        seed: of the masks.
    """
    _save_grid(reconstruct(mae, preprocessor, pixels, seed), path)


@torch.no_grad()
def reconstruct(
    mae: MAE, preprocessor: Normalize, pixels: torch.Tensor, seed: int = 0
) -> dict[str, torch.Tensor]:
    """The picture's rows by name, each (N, C, H, W) uint8 as `pixels`."""
    mae.eval()
    device = next(mae.parameters()).device
    images = preprocessor.images(pixels.to(device))
    h, w = mae.encoder.grid
    noise = torch.rand(len(images), h * w, generator=torch.Generator().manual_seed(seed))
    out = mae(images, noise.to(device))
    size = mae.encoder.patch_size
    mask = out.mask.unsqueeze(-1).expand(-1, -1, size * size * images.shape[1])
    mask = unpatchify(mask, size, *images.shape[-2:])
    predicted = preprocessor.restore(mae.pixels(images, out.pred))
    original = pixels.to(device)
    pasted = torch.where(mask.bool(), predicted, original)
    masked = torch.where(mask.bool(), torch.full_like(original, int(255 * MASK_GREY)), original)
    return {"original": original, "masked": masked, "reconstruction": pasted}


def _save_grid(rows: dict[str, torch.Tensor], path: Path) -> None:
    columns = len(next(iter(rows.values())))
    figure = Figure(figsize=(columns * 1.15 + 0.3, len(rows) * 1.15), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, fontsize=10)
        for axis, image in zip(line, images.cpu(), strict=True):
            axis.imshow(image.permute(1, 2, 0).expand(-1, -1, 3), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    figure.savefig(path, dpi=120)
