import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from downstream.dense.coco import image_suffix, instance_classes, semantic_classes
from mae_core import UserError


def test_classes_come_from_the_annotations(scenes: Path) -> None:
    assert instance_classes(str(scenes)) == ("small", "large")
    assert semantic_classes(str(scenes)) == ("background", "small", "large")
    assert image_suffix(str(scenes)) == ".png"


def test_a_missing_annotation_file_is_named(scenes: Path) -> None:
    (scenes / "instances_val.json").unlink()
    with pytest.raises(UserError, match=r"instances_val\.json"):
        instance_classes(str(scenes))


def test_a_file_that_is_no_json_is_named(scenes: Path) -> None:
    (scenes / "instances_train.json").write_text("images: []")
    with pytest.raises(UserError, match=r"instances_train\.json is no JSON"):
        instance_classes(str(scenes))


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_an_empty_list_is_named(scenes: Path, key: str) -> None:
    file = scenes / "instances_train.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: []}))
    with pytest.raises(UserError, match=f"no '{key}'"):
        instance_classes(str(scenes))


def test_different_categories_in_train_and_val_are_refused(scenes: Path) -> None:
    file = scenes / "instances_val.json"
    content = json.loads(file.read_text())
    content["categories"][1]["name"] = "huge"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"large.*huge"):
        instance_classes(str(scenes))


def test_annotations_of_another_folder_are_noticed(scenes: Path) -> None:
    (scenes / "train" / "00.png").unlink()
    with pytest.raises(UserError, match=r"train/00\.png"):
        instance_classes(str(scenes))


def test_an_image_without_a_mask_is_named(scenes: Path) -> None:
    (scenes / "val_masks" / "03.png").unlink()
    with pytest.raises(UserError, match=r"val_masks/03\.png for 03\.png"):
        image_suffix(str(scenes))


def test_a_mask_with_an_unknown_value_is_named(scenes: Path) -> None:
    Image.fromarray(np.full((48, 48), 7, np.uint8)).save(scenes / "train_masks" / "02.png")
    with pytest.raises(UserError, match=r"02\.png holds the values \[7\]"):
        semantic_classes(str(scenes))
