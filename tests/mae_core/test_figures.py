from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mae_core import create_model
from mae_core.data.normalize import Normalize
from mae_core.figures import MASK_GREY, draw_reconstructions, reconstruct
from mae_core.mae import MAE
from mae_core.patches import gather_patches, patchify

PATCH = 6


def mae_of(channels: int = 3) -> MAE:
    torch.manual_seed(0)
    sizes = {"img_size": 24, "in_chans": channels, "width": 16, "depth": 1, "heads": 2}
    decoder = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
    return create_model("vit-micro-p6", **sizes, **decoder, norm_pix_loss=False)


def pixels_of(channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (3, channels, 24, 24), dtype=torch.uint8)


def test_three_quarters_are_grey_and_only_these_are_pasted() -> None:
    pixels, normalize = pixels_of(), Normalize([120.0] * 3, [60.0] * 3)
    original = patchify(pixels, PATCH)
    rows = {
        name: patchify(image, PATCH)
        for name, image in reconstruct(mae_of(), normalize, pixels).items()
    }
    hidden = (rows["masked"] == int(255 * MASK_GREY)).all(dim=-1)  # (N, L)
    assert hidden.sum(dim=1).tolist() == [12, 12, 12]
    for name in ("masked", "pasted"):
        assert torch.equal(rows[name][~hidden], original[~hidden])
    assert torch.equal(rows["pasted"][hidden], rows["predicted"][hidden])
    assert not torch.equal(rows["predicted"][~hidden], original[~hidden])


@pytest.mark.parametrize("norm_pix_loss", [True, False])
def test_a_perfect_prediction_is_drawn_as_the_image(norm_pix_loss: bool) -> None:
    mae, pixels, normalize = mae_of(), pixels_of(), Normalize([120.0] * 3, [60.0] * 3)
    mae.norm_pix_loss = norm_pix_loss
    perfect = mae.target(normalize.images(pixels))
    mae.decoder.forward = lambda latent, patches: gather_patches(perfect, patches)
    assert torch.equal(reconstruct(mae, normalize, pixels)["predicted"], pixels)


def test_another_mask_ratio_is_for_the_picture_only() -> None:
    mae, normalize = mae_of(), Normalize([120.0] * 3, [60.0] * 3)
    masked = patchify(reconstruct(mae, normalize, pixels_of(), mask_ratio=0.5)["masked"], PATCH)
    assert (masked == int(255 * MASK_GREY)).all(dim=-1).sum(dim=1).tolist() == [8, 8, 8]
    assert mae.mask_ratio == 0.75


def test_the_seed_decides_the_masks_whatever_was_drawn_before() -> None:
    mae, pixels, normalize = mae_of(), pixels_of(), Normalize([120.0] * 3, [60.0] * 3)
    first = reconstruct(mae, normalize, pixels, seed=1)["masked"]
    torch.rand(5)
    assert torch.equal(first, reconstruct(mae, normalize, pixels, seed=1)["masked"])
    assert not torch.equal(first, reconstruct(mae, normalize, pixels, seed=2)["masked"])


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_grey_and_coloured_images_can_be_drawn(tmp_path: Path, channels: int) -> None:
    normalize = Normalize([120.0] * channels, [60.0] * channels)
    draw_reconstructions(mae_of(channels), normalize, pixels_of(channels), tmp_path / "a.png")
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert (picture == int(255 * MASK_GREY)).all(axis=-1).mean() > 0.05
