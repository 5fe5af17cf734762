from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from downstream.dense.label_map import LabelMap
from downstream.segmentation.pairs import PairedImages
from downstream.segmentation.pipeline import (
    evaluation_pipeline,
    multiscale_pipeline,
    training_pipeline,
)

LABELS = LabelMap((1, 2), frozenset([0]))


@pytest.fixture
def pairs(scenes: Path) -> list[tuple[Path, Path]]:
    init_default_scope("mmseg")
    names = sorted(path.name for path in (scenes / "val").iterdir())
    return [(scenes / "val" / name, scenes / "val_masks" / name) for name in names]


def labels(item: dict[str, Any]) -> np.ndarray:
    return item["data_samples"].gt_sem_seg.data[0].numpy()


def test_masks_keep_their_size_and_values_become_labels(pairs: list[tuple[Path, Path]]) -> None:
    images = PairedImages(pairs, evaluation_pipeline(LABELS, (96, 96)))
    for i, (_, mask) in enumerate(pairs):
        item = images[i]
        assert item["inputs"].shape == (3, 96, 96)
        assert np.array_equal(labels(item), LABELS.lookup()[np.asarray(Image.open(mask))])


def test_masks_in_colours_are_the_same_labels(pairs: list[tuple[Path, Path]]) -> None:
    numbers = PairedImages(pairs, evaluation_pipeline(LABELS, (96, 96)))
    expected = [labels(numbers[i]) for i in range(len(pairs))]
    for _, mask in pairs:
        Image.open(mask).convert("RGB").save(mask)
    by_colour = LabelMap((0x010101, 0x020202), frozenset([0]), coloured=True)
    images = PairedImages(pairs, evaluation_pipeline(by_colour, (96, 96)))
    assert all(np.array_equal(labels(images[i]), expected[i]) for i in range(len(pairs)))


@pytest.mark.parametrize("jitter", [None, (0.5, 2.0)])
def test_training_sees_crops(pairs: list[tuple[Path, Path]], jitter: Any) -> None:
    steps = training_pipeline(LABELS, (48, 48), jitter, crop=24, flip=0.5, photometric=True)
    shapes = {PairedImages(pairs, steps)[0]["inputs"].shape for _ in range(5)}
    assert all(max(shape[1:]) <= 24 for shape in shapes)


def test_several_scales_are_seen_as_they_are_and_mirrored(pairs: list[tuple[Path, Path]]) -> None:
    images = PairedImages(pairs, multiscale_pipeline(LABELS, (48, 48), [0.5, 1.0]))
    item = images[0]
    assert [view.shape[-1] for view in item["inputs"]] == [24, 24, 48, 48]
    one, mirrored = item["inputs"][2:]
    assert np.array_equal(one.flip(-1), mirrored)
