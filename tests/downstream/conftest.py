import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mae_core.data.demo.coco import coco_file
from mae_core.data.demo.scenes import Instance, Scene

TINY = {"arch": "vit-micro-p6", "width": 16, "depth": 2, "heads": 2}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def garments(tmp_path: Path) -> Path:
    """Four classes that differ in where the light is, 30 train and 20 val images each."""
    return lit_garments(tmp_path, noise=90, light=120)


def lit_garments(folder: Path, noise: int, light: int) -> Path:
    """Noise from 0 to below `noise`, and `light` more in one of four places, by class."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 20)):
        for label in range(4):
            place = folder / split / f"class-{label}"
            place.mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, noise, (30, 30), dtype=np.uint8)
                top, left = 15 * (label // 2), 15 * (label % 2)
                image[top : top + 15, left : left + 15] += light
                Image.fromarray(image).save(place / f"{i}.png")
    return folder


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Eight train and four val scenes of one bright square each, two classes by size."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        drawn = {f"{i:02}.png": square(rng, i % 2) for i in range(count)}
        for folder in (split, f"{split}_masks"):
            (tmp_path / folder).mkdir()
        for name, scene in drawn.items():
            Image.fromarray(scene.image).save(tmp_path / split / name)
            Image.fromarray(scene.semantic()).save(tmp_path / f"{split}_masks" / name)
        content = coco_file(drawn, ("small", "large"), split)
        (tmp_path / f"instances_{split}.json").write_text(json.dumps(content))
    return tmp_path


def square(rng: np.random.Generator, label: int) -> Scene:
    side = (16, 32)[label]
    top, left = rng.integers(0, 48 - side, 2)
    mask = np.zeros((48, 48), dtype=bool)
    mask[top : top + side, left : left + side] = True
    image = np.where(mask, 200, rng.integers(0, 60, (48, 48))).astype(np.uint8)
    return Scene(image, [Instance(index=0, label=label, area=side * side, mask=mask)])


def take_masks_away(file: Path) -> None:
    """Rewrite a COCO file with boxes alone."""
    content = json.loads(file.read_text())
    for place, entry in enumerate(content["annotations"]):
        del entry["segmentation"]
        if place % 2:
            del entry["area"]
    file.write_text(json.dumps(content))


def split_config(root: Path, **fields: Any) -> Config:
    """Where the splits of `scenes` lie."""
    named = {
        f"{split}_data": {
            "images": split,
            "annotations": f"instances_{split}.json",
            "masks": f"{split}_masks",
        }
        for split in ("train", "val")
    }
    return Config({"data_root": str(root), **named, **fields})
