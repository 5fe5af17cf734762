"""Reconstructions of image files by a MAE from a checkpoint."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from mae_core.config import apply_overrides
from mae_core.data.decode import MODES, open_file
from mae_core.data.normalize import Normalize
from mae_core.data.transform import Transform
from mae_core.describe import load_mae
from mae_core.errors import UserError
from mae_core.figures import draw_rows


def reconstruct_files(
    images: Sequence[Path],
    checkpoint: Path,
    out: Path,
    mask_ratios: Sequence[float] | None = None,
    seed: int = 0,
    overrides: Iterable[str] = (),
) -> None:
    """Draw :meth:`MAE.picture` of image files, resized and cropped to the model's size.

    Args:
        images: at least one file.
        checkpoint: a MAE with decoder, see :func:`mae_core.describe.load_mae`.
        out: .png, .jpg, .pdf or another format of matplotlib.
        mask_ratios: the model's own without them.
        seed: of the masks.
        overrides: `key=value` for what a foreign checkpoint does not say: `norm_pix_loss`,
            `pixels.mean` and `pixels.std`.

    Raises:
        UserError: for a file that cannot be read or written, or a ratio that masks all.
    """
    mae, pixels = load_mae(checkpoint)
    config = Config({"norm_pix_loss": mae.norm_pix_loss, "pixels": pixels})
    apply_overrides(config, overrides)
    mae.norm_pix_loss = config.norm_pix_loss
    channels = mae.encoder.config["in_chans"]
    if channels not in MODES:
        raise UserError(f"{checkpoint} looks at {channels} channels: images can have 1 or 3")
    size = {"input_size": mae.encoder.img_size, "crop_pct": 1.0, "interpolation": "bicubic"}
    transform = Transform(size, channels)
    batch = torch.stack([_read(path, transform, channels) for path in images])
    try:
        draw_rows(out, mae.picture(batch, Normalize(**config.pixels), seed, mask_ratios))
    except (OSError, ValueError) as error:  # matplotlib does not know the suffix
        raise UserError(f"cannot write {out}: {error}") from error


def _read(path: Path, transform: Transform, channels: int) -> torch.Tensor:
    """(C, H, W) uint8."""
    (view,) = transform.views(open_file(path, channels), [0])
    return view.pixels
