from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image

from downstream.examples.bands import BANDS, DARK, exposed, filters, linear, stacks
from downstream.examples.write import write_example
from mae_core.config import load_config
from mae_core.data.images import ImageDataset
from mae_core.data.normalize import Normalize


def test_the_model_sees_the_files_numbers_to_the_bit(photos: Path, tmp_path: Path) -> None:
    """As NumPy computes them from the TIFFs, by the shipped config."""
    write_example("bands", tmp_path / "bands", str(photos), 12)
    config = load_config("linear_probe/vit-micro-p4_1xb512-60e_bands")
    images = ImageDataset(**{**config.val_data, "data": str(tmp_path / "bands"), "part": None})
    batch = torch.stack([images[i]["inputs"] for i in range(len(images))])
    seen = Normalize(**config.pixels)({"inputs": batch})["inputs"].numpy()
    mean, std = (np.float32(config.pixels[key]) for key in ("mean", "std"))
    for i, image in enumerate(seen):
        stored = tifffile.imread(tmp_path / "bands" / images.source.name(i))
        assert stored.dtype == np.uint16 and stored.shape == (32, 32, BANDS)
        expected = ((stored.astype(np.float32) - mean) / std).transpose(2, 0, 1)
        assert np.array_equal(image, expected)


def test_classes_are_those_of_the_photos(photos: Path) -> None:
    names = [name for name, _ in stacks(str(photos), 20, seed=0)]
    assert [name.split("/")[0] for name in names] == ["cat"] * 10 + ["dog"] * 10
    assert len(set(names)) == 20


def test_what_is_counted_is_light_with_the_noise_of_counting() -> None:
    camera = filters(seed=0)
    ramp = np.repeat(np.arange(0, 256, 15, dtype=np.uint8), 5_000).reshape(18, -1)
    photo = np.stack([ramp] * 3, axis=2)
    counted = exposed(photo, camera, np.random.default_rng(0)).astype(float)
    expected = DARK + linear(photo[:, 0]) @ camera
    deviation = np.sqrt(expected)
    assert (abs(counted.mean(axis=1) - expected) < 5 * deviation / np.sqrt(5_000)).all()
    assert np.allclose(counted.std(axis=1), deviation, rtol=0.06)
    assert np.allclose(sorted(camera.sum(axis=0)), np.geomspace(1_000, 40_000, BANDS))


def test_light_is_that_of_the_standard() -> None:
    """The level 188 is half of the light (IEC 61966-2-1), 0 none, 255 all."""
    assert np.allclose(linear(np.array([0, 188, 255])), [0, 0.5028865, 1])


def test_a_photo_in_grey_is_one_in_colours(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 255).save(tmp_path / "white.png")
    ((name, stack),) = stacks(str(tmp_path), 1, seed=0)
    assert name == "000000.tif" and stack.shape == (8, 8, BANDS)
