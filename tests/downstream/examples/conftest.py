import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty photos in colour of two classes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def nuclei(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO JSON of two photos of 3 by 2 tiles; the first tile of each has four nuclei."""
    folder, rng = tmp_path_factory.mktemp("nuclei"), np.random.default_rng(0)
    (folder / "train").mkdir()
    images, annotations = [], []
    for number in (1, 2):
        name = f"photo{number}.png"
        pixels = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "train" / name)
        images.append({"id": number, "file_name": name, "width": 300, "height": 200})
        for left, top in ((0, 0), (40, 20), (90, 10), (60, 80), (98, 100)):
            box = [left, top, 10, 12]  # the last two are in other tiles, by their centres
            entry = {"image_id": number, "category_id": 1, "bbox": box, "area": 120, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, **entry})
    categories = [{"id": 1, "name": "nucleus"}]
    path = folder / "instances_train.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path
