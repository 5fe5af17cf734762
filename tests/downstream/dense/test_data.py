from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from downstream.dense.data import (
    IGNORED,
    epochs_for,
    label_table,
    mask_splits,
    semantic_classes,
    typical_size,
)
from downstream.dense.instances import instance_splits
from downstream.dense.masks import check_masks
from mae_core import UserError
from tests.downstream.conftest import split_config


def test_data_that_the_digest_would_not_cover_is_refused(scenes: Path) -> None:
    fields = split_config(scenes)
    fields.train_data.images = "../elsewhere"
    with pytest.raises(UserError, match="outside data_root"):
        instance_splits(fields)


def test_an_image_without_a_mask_is_named(scenes: Path) -> None:
    (scenes / "val_masks" / "03.png").unlink()
    with pytest.raises(UserError, match=r"val_masks/03\.png for 03\.png"):
        mask_splits(split_config(scenes))


def test_masks_named_as_mmseg_does_are_found(scenes: Path) -> None:
    for mask in list((scenes / "val_masks").iterdir()):
        mask.rename(mask.with_name(f"{mask.stem}_labelTrainIds.png"))
    assert len(mask_splits(split_config(scenes))["val"].pairs) == 4


def test_classes_are_named_by_the_config_the_annotations_or_mmseg(scenes: Path) -> None:
    assert semantic_classes(split_config(scenes)) == ("background", "small", "large")
    assert semantic_classes(split_config(scenes, classes=["sky", "sea"])) == ("sky", "sea")
    assert len(semantic_classes(split_config(scenes, classes="ADE20KDataset"))) == 150
    with pytest.raises(UserError, match="no such data set"):
        semantic_classes(split_config(scenes, classes="ADE21KDataset"))
    fields = split_config(scenes)
    del fields.train_data.annotations
    with pytest.raises(UserError, match="which class is which"):
        semantic_classes(fields)


def test_pixel_values_become_labels(scenes: Path) -> None:
    table = label_table(split_config(scenes, pixel_values=[7, 3]), ("a", "b"))
    assert (table[7], table[3], table[0], table[255]) == (0, 1, IGNORED, IGNORED)
    assert label_table(split_config(scenes), ("a", "b"))[:3] == [0, 1, IGNORED]
    with pytest.raises(UserError, match="2 classes, but 3 values"):
        label_table(split_config(scenes, pixel_values=[1, 2, 3]), ("a", "b"))


def test_a_mask_with_an_unknown_value_is_named(scenes: Path) -> None:
    Image.fromarray(np.full((48, 48), 7, np.uint8)).save(scenes / "train_masks" / "02.png")
    table = label_table(split_config(scenes), ("background", "small", "large"))
    splits = mask_splits(split_config(scenes))
    with pytest.raises(UserError, match=r"02\.png holds the values \[7\]"):
        check_masks(splits, table, [IGNORED])
    check_masks(splits, table, [7, IGNORED])


def test_a_mask_in_colours_is_refused(scenes: Path) -> None:
    Image.new("RGB", (48, 48)).save(scenes / "train_masks" / "02.png")
    with pytest.raises(UserError, match=r"02\.png is RGB"):
        check_masks(mask_splits(split_config(scenes)), range(256), [])


def test_sizes_and_schedule_follow_from_the_data() -> None:
    assert typical_size([(100, 300), (200, 200), (310, 250)], multiple=32, most=1024) == 224
    assert typical_size([(5000, 5000)], multiple=14, most=1024) == 1022
    assert epochs_for(updates=1000, images=100, batch=10) == 100
    assert epochs_for(updates=10, images=3, batch=8) == 10
