import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from downstream.dense.coco import read_coco
from downstream.dense.data import (
    IGNORED,
    epochs_for,
    held_out,
    label_table,
    mask_splits,
    semantic_classes,
    typical_size,
)
from downstream.dense.instances import check_instances, instance_splits, notes_on
from downstream.dense.masks import check_masks
from mae_core import UserError


def config(root: Path, **fields: Any) -> Config:
    named = {
        f"{split}_data": {
            "images": split,
            "annotations": f"instances_{split}.json",
            "masks": f"{split}_masks",
        }
        for split in ("train", "val")
    }
    return Config({"data_root": str(root), **named, **fields})


def test_splits_come_from_the_paths(scenes: Path) -> None:
    instances = instance_splits(config(scenes))
    assert [len(instances[name].content.images) for name in ("train", "val")] == [8, 4]
    assert instances["train"].content.names == ("small", "large")
    assert set(instances["train"].sizes) == {(48, 48)}
    masks = mask_splits(config(scenes))
    assert [len(masks[name].pairs) for name in ("train", "val")] == [8, 4]
    assert all(image.stem == mask.stem for image, mask in masks["val"].pairs)


def test_without_val_some_images_are_held_out_and_always_the_same(scenes: Path) -> None:
    for i in range(8, 40):
        for folder in ("train", "train_masks"):
            Image.open(scenes / folder / f"{i % 8:02}.png").save(scenes / folder / f"{i:02}.png")
    fields = config(scenes, val_data=None)
    masks = mask_splits(fields)
    train, val = ({image.name for image, _ in masks[name].pairs} for name in ("train", "val"))
    assert train | val == {f"{i:02}.png" for i in range(40)} and not train & val
    assert val == {name for name in train | val if held_out(name)}
    assert 1 <= len(val) <= 16


def test_held_out_instances_are_written_once_asked(scenes: Path, tmp_path: Path) -> None:
    file = scenes / "instances_train.json"
    content = json.loads(file.read_text())
    for i in range(8, 40):
        name = f"{i:02}.png"
        Image.open(scenes / "train" / f"{i % 8:02}.png").save(scenes / "train" / name)
        content["images"].append({**content["images"][i % 8], "id": i + 1, "file_name": name})
        entry = {**content["annotations"][i % 8], "id": i + 1, "image_id": i + 1}
        content["annotations"].append(entry)
    file.write_text(json.dumps(content))
    splits = instance_splits(config(scenes, val_data=None))
    path = splits["val"].on_disk(tmp_path / "held_out.json")
    names = {image["file_name"] for image in read_coco(path).images}
    assert names == {f"{i:02}.png" for i in range(40) if held_out(f"{i:02}.png")}
    assert splits["train"].content.categories == splits["val"].content.categories


def test_too_few_images_to_hold_some_out_are_refused(scenes: Path) -> None:
    content = json.loads((scenes / "instances_train.json").read_text())
    content["images"], content["annotations"] = content["images"][:1], content["annotations"][:1]
    (scenes / "instances_train.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="too few annotated images"):
        instance_splits(config(scenes, val_data=None))


def test_different_categories_in_train_and_val_are_refused(scenes: Path) -> None:
    file = scenes / "instances_val.json"
    content = json.loads(file.read_text())
    content["categories"][1]["name"] = "huge"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"large.*huge"):
        instance_splits(config(scenes))


def test_categories_may_be_listed_in_another_order(scenes: Path) -> None:
    for name in ("train", "val"):
        file = scenes / f"instances_{name}.json"
        content = json.loads(file.read_text())
        content["categories"].sort(key=lambda entry: entry["id"], reverse=name == "val")
        file.write_text(json.dumps(content))
    splits = instance_splits(config(scenes))
    assert splits["train"].content.names == splits["val"].content.names == ("small", "large")
    written = json.loads(splits["val"].on_disk(scenes / "copy.json").read_text())
    assert [entry["id"] for entry in written["categories"]] == [1, 2]


def test_a_category_that_only_val_has_is_refused(scenes: Path) -> None:
    file = scenes / "instances_val.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["category_id"] = 3
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"instances_val\.json:\n.*category 3 is unknown"):
        instance_splits(config(scenes))
    content["categories"].append({"id": 3, "name": "huge"})
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"different categories: {} and {3: 'huge'}"):
        instance_splits(config(scenes))


def test_annotations_with_nothing_to_learn_are_refused_and_others_noted(scenes: Path) -> None:
    file = scenes / "instances_train.json"
    content = json.loads(file.read_text())
    for entry in content["annotations"]:
        entry["iscrowd"] = int(entry["category_id"] == 2)
    file.write_text(json.dumps(content))
    notes = notes_on(instance_splits(config(scenes))["train"])
    assert "no instance in train of ['large']" in notes[0]
    assert notes[1].startswith("4 annotation(s) of train are crowds")
    for entry in content["annotations"]:
        entry["iscrowd"] = 1
    file.write_text(json.dumps(content))
    for fields in (config(scenes), config(scenes, val_data=None)):
        with pytest.raises(UserError, match=r"nothing for train|too few"):
            instance_splits(fields)


def test_broken_images_are_found_before_training(scenes: Path) -> None:
    image = scenes / "val" / "03.png"
    image.write_bytes(image.read_bytes()[:-200])
    splits = instance_splits(config(scenes))
    with pytest.raises(UserError, match=r"03\.png cannot be read"):
        check_instances(splits)
    Image.new("RGB", (40, 48)).save(image)
    with pytest.raises(UserError, match=r"03\.png is 40×48 pixels"):
        check_instances(splits)


@pytest.mark.parametrize("fields", [None, 3, {"images": "train"}, {"images": 1, "annotations": []}])
def test_a_split_without_paths_is_told(scenes: Path, fields: Any) -> None:
    with pytest.raises(UserError, match=r"train_data=.*expected dict"):
        instance_splits(config(scenes, train_data=fields))


def test_annotations_of_another_folder_are_noticed(scenes: Path) -> None:
    (scenes / "train" / "00.png").unlink()
    with pytest.raises(UserError, match=r"train/00\.png"):
        instance_splits(config(scenes))


def test_data_that_the_digest_would_not_cover_is_refused(scenes: Path) -> None:
    fields = config(scenes)
    fields.train_data.images = "../elsewhere"
    with pytest.raises(UserError, match="outside data_root"):
        instance_splits(fields)


def test_an_image_without_a_mask_is_named(scenes: Path) -> None:
    (scenes / "val_masks" / "03.png").unlink()
    with pytest.raises(UserError, match=r"val_masks/03\.png for 03\.png"):
        mask_splits(config(scenes))


def test_masks_named_as_mmseg_does_are_found(scenes: Path) -> None:
    for mask in list((scenes / "val_masks").iterdir()):
        mask.rename(mask.with_name(f"{mask.stem}_labelTrainIds.png"))
    assert len(mask_splits(config(scenes))["val"].pairs) == 4


def test_classes_are_named_by_the_config_the_annotations_or_mmseg(scenes: Path) -> None:
    assert semantic_classes(config(scenes)) == ("background", "small", "large")
    assert semantic_classes(config(scenes, classes=["sky", "sea"])) == ("sky", "sea")
    assert len(semantic_classes(config(scenes, classes="ADE20KDataset"))) == 150
    with pytest.raises(UserError, match="no such data set"):
        semantic_classes(config(scenes, classes="ADE21KDataset"))
    fields = config(scenes)
    del fields.train_data.annotations
    with pytest.raises(UserError, match="which class is which"):
        semantic_classes(fields)


def test_pixel_values_become_labels(scenes: Path) -> None:
    table = label_table(config(scenes, pixel_values=[7, 3]), ("a", "b"))
    assert (table[7], table[3], table[0], table[255]) == (0, 1, IGNORED, IGNORED)
    assert label_table(config(scenes), ("a", "b"))[:3] == [0, 1, IGNORED]
    with pytest.raises(UserError, match="2 classes, but 3 values"):
        label_table(config(scenes, pixel_values=[1, 2, 3]), ("a", "b"))


def test_a_mask_with_an_unknown_value_is_named(scenes: Path) -> None:
    Image.fromarray(np.full((48, 48), 7, np.uint8)).save(scenes / "train_masks" / "02.png")
    table = label_table(config(scenes), ("background", "small", "large"))
    splits = mask_splits(config(scenes))
    with pytest.raises(UserError, match=r"02\.png holds the values \[7\]"):
        check_masks(splits, table, [IGNORED])
    check_masks(splits, table, [7, IGNORED])


def test_a_mask_in_colours_is_refused(scenes: Path) -> None:
    Image.new("RGB", (48, 48)).save(scenes / "train_masks" / "02.png")
    with pytest.raises(UserError, match=r"02\.png is RGB"):
        check_masks(mask_splits(config(scenes)), range(256), [])


def test_sizes_and_schedule_follow_from_the_data() -> None:
    assert typical_size([(100, 300), (200, 200), (310, 250)], multiple=32, most=1024) == 224
    assert typical_size([(5000, 5000)], multiple=14, most=1024) == 1022
    assert epochs_for(updates=1000, images=100, batch=10) == 100
    assert epochs_for(updates=10, images=3, batch=8) == 10
