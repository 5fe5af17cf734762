from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mae_core import create_model
from mae_core.data.normalize import Normalize
from mae_core.figures import draw_rows, eight_bits
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


def test_floats_are_drawn_in_the_range_of_the_first_row_and_masks_are_grey(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 10_000, 24 * 24).reshape(1, 1, 24, 24).expand(2, 4, 24, 24)
    normalize = Normalize([5000.0] * 4, [2000.0] * 4)
    rows = mae_of(4).picture(ramp, normalize)
    masked = next(row for name, row in rows.items() if name.endswith("masked"))
    gone = masked.isnan()
    assert torch.equal(rows["original"], ramp) and 0.5 < gone.float().mean() < 0.9
    assert torch.equal(masked[~gone], ramp[~gone])
    shown = eight_bits(rows)
    assert (shown["original"][0, 0].flatten().diff().int() >= 0).all()
    assert shown["original"].min() == 0 and shown["original"].max() == 255
    drawn = eight_bits({"original": ramp, "masked": masked})["masked"]
    assert (drawn[gone] == round(255 * MASK_GREY)).all()
    assert eight_bits({"a": pixels_of()})["a"].dtype == torch.uint8
    draw_rows(tmp_path / "a.png", rows)
