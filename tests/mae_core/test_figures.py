from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mae_core import create_model
from mae_core.data.normalize import Normalize
from mae_core.figures import draw_rows
from mae_core.methods.mae import MAE
from mae_core.methods.masked_pixels import MASK_GREY


def mae_of(channels: int = 3) -> MAE:
    torch.manual_seed(0)
    sizes = {"img_size": 24, "in_chans": channels, "width": 16, "depth": 1, "heads": 2}
    decoder = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
    return create_model("vit-micro-p6", **sizes, **decoder, norm_pix_loss=False)


def pixels_of(channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (3, channels, 24, 24), dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_grey_and_coloured_images_can_be_drawn(tmp_path: Path, channels: int) -> None:
    normalize = Normalize([120.0] * channels, [60.0] * channels)
    draw_rows(tmp_path / "a.png", mae_of(channels).picture(pixels_of(channels), normalize))
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert (picture == int(255 * MASK_GREY)).all(axis=-1).mean() > 0.05
