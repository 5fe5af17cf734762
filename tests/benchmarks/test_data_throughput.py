import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import data_throughput, photos

pytestmark = pytest.mark.slow


def picture(width: int, height: int) -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def test_photos_are_jpegs_of_imagenets_usual_size(tmp_path: Path) -> None:
    picture(1400, 900).save(tmp_path / "one.jpg")
    picture(800, 1200).save(tmp_path / "two.jpg")
    (tmp_path / "out").mkdir()
    photos.write([tmp_path / "one.jpg", tmp_path / "two.jpg"], tmp_path / "out", 30, quality=95)
    files = sorted((tmp_path / "out").rglob("*.jpg"))
    assert len(files) == 30 and len({path.parent for path in files}) == photos.CLASSES
    images = [Image.open(io.BytesIO(path.read_bytes())) for path in files]
    assert {image.size for image in images} == {(500, 375), (375, 500)}
    assert len({path.read_bytes() for path in files}) == 30


def test_every_variant_makes_a_pass(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "in" / f"class-{number}").mkdir(parents=True)
        picture(300, 280).save(tmp_path / "in" / f"class-{number}" / "x.jpg")
    root = tmp_path / "in"
    for make in (data_throughput.torchvision_pass, data_throughput.our_pass):
        make(root, 2, 0, "cpu")()
    data_throughput.our_pass(root, 2, 0, "cpu", repeats=2)()
    shards = data_throughput.packed(root, 256)
    data_throughput.our_pass(shards, 2, 0, "cpu")()
    assert data_throughput.packed(root, 256) == shards == tmp_path / "in-packed-256"
