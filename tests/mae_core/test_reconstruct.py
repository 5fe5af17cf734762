from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mae_core import UserError, create_model
from mae_core.checkpoints import save_weights
from mae_core.reconstruct import reconstruct_files


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    mae = create_model(
        "vit-micro-p6", img_size=24, width=16, depth=1, heads=2, decoder_width=16, decoder_heads=2
    )
    about = {"mae": mae.config, "encoder": mae.encoder.config}
    pixels = {"mean": [120.0] * 3, "std": [60.0] * 3}
    save_weights(tmp_path / "mae.safetensors", mae, pixels=pixels, **about)
    return tmp_path / "mae.safetensors"


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Grey and colour, of several sizes and shapes."""
    rng = np.random.default_rng(0)
    paths = []
    for number, shape in enumerate([(30, 50, 3), (24, 24), (80, 40, 3)] * 4):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    return paths


@pytest.mark.parametrize(("count", "ratios"), [(1, None), (3, [0.5, 0.75, 0.9]), (12, [0.0])])
def test_any_number_of_images_and_ratios_fit_in_one_picture(
    checkpoint: Path, photos: list[Path], tmp_path: Path, count: int, ratios: list[float] | None
) -> None:
    reconstruct_files(photos[:count], checkpoint, tmp_path / "out.png", ratios)
    with Image.open(tmp_path / "out.png") as picture:
        width, height = picture.size
    rows = (1 + 3 * len(ratios or [0.75])) * (2 if count > 8 else 1)
    assert height / rows == pytest.approx(1.15 * 120, rel=0.02)
    assert width > min(count, 8) * 1.15 * 120


def test_what_a_file_does_not_say_can_be_said(
    checkpoint: Path, photos: list[Path], tmp_path: Path
) -> None:
    def picture(*overrides: str) -> np.ndarray:
        reconstruct_files(photos[:2], checkpoint, tmp_path / "out.png", overrides=overrides)
        return np.asarray(Image.open(tmp_path / "out.png"))

    assert not np.array_equal(picture(), picture("norm_pix_loss=False"))
    assert not np.array_equal(picture(), picture("pixels.mean=[9.0, 9.0, 9.0]"))
    assert np.array_equal(picture(), picture("norm_pix_loss=True"))


def test_mistakes_are_explained(checkpoint: Path, photos: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    with pytest.raises(UserError, match=r"nothing\.png"):
        reconstruct_files([tmp_path / "nothing.png"], checkpoint, out)
    with pytest.raises(UserError, match="cannot write"):
        reconstruct_files(photos[:1], checkpoint, tmp_path / "out.nothing")
    with pytest.raises(UserError, match="cannot write"):
        reconstruct_files(photos[:1], checkpoint, tmp_path / "no" / "out.png")
    with pytest.raises(UserError, match=r"mask_ratio 0.99 leaves 0 of 16"):
        reconstruct_files(photos[:1], checkpoint, out, [0.99])
    with pytest.raises(UserError, match="did you mean 'norm_pix_loss'"):
        reconstruct_files(photos[:1], checkpoint, out, overrides=["norm_pix=True"])
    assert not out.exists()
