import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from downstream.dense.coco import read_coco
from downstream.dense.data import held_out, mask_splits
from downstream.dense.instances import check_instances, instance_splits, notes_on
from mae_core import UserError
from tests.downstream.conftest import split_config


def test_splits_come_from_the_paths(scenes: Path) -> None:
    instances = instance_splits(split_config(scenes))
    assert [len(instances[name].content.images) for name in ("train", "val")] == [8, 4]
    assert instances["train"].content.names == ("small", "large")
    assert set(instances["train"].sizes) == {(48, 48)}
    masks = mask_splits(split_config(scenes))
    assert [len(masks[name].pairs) for name in ("train", "val")] == [8, 4]
    assert all(image.stem == mask.stem for image, mask in masks["val"].pairs)


def test_without_val_some_images_are_held_out_and_always_the_same(scenes: Path) -> None:
    for i in range(8, 40):
        for folder in ("train", "train_masks"):
            Image.open(scenes / folder / f"{i % 8:02}.png").save(scenes / folder / f"{i:02}.png")
    fields = split_config(scenes, val_data=None)
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
    splits = instance_splits(split_config(scenes, val_data=None))
    path = splits["val"].on_disk(tmp_path / "held_out.json")
    names = {image["file_name"] for image in read_coco(path).images}
    assert names == {f"{i:02}.png" for i in range(40) if held_out(f"{i:02}.png")}
    assert splits["train"].content.categories == splits["val"].content.categories


def test_too_few_images_to_hold_some_out_are_refused(scenes: Path) -> None:
    content = json.loads((scenes / "instances_train.json").read_text())
    content["images"], content["annotations"] = content["images"][:1], content["annotations"][:1]
    (scenes / "instances_train.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="too few annotated images"):
        instance_splits(split_config(scenes, val_data=None))


def test_different_categories_in_train_and_val_are_refused(scenes: Path) -> None:
    file = scenes / "instances_val.json"
    content = json.loads(file.read_text())
    content["categories"][1]["name"] = "huge"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"large.*huge"):
        instance_splits(split_config(scenes))


def test_categories_may_be_listed_in_another_order(scenes: Path) -> None:
    for name in ("train", "val"):
        file = scenes / f"instances_{name}.json"
        content = json.loads(file.read_text())
        content["categories"].sort(key=lambda entry: entry["id"], reverse=name == "val")
        file.write_text(json.dumps(content))
    splits = instance_splits(split_config(scenes))
    assert splits["train"].content.names == splits["val"].content.names == ("small", "large")
    written = json.loads(splits["val"].on_disk(scenes / "copy.json").read_text())
    assert [entry["id"] for entry in written["categories"]] == [1, 2]


def test_a_category_that_only_val_has_is_refused(scenes: Path) -> None:
    file = scenes / "instances_val.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["category_id"] = 3
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"instances_val\.json:\n.*category 3 is unknown"):
        instance_splits(split_config(scenes))
    content["categories"].append({"id": 3, "name": "huge"})
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"different categories: {} and {3: 'huge'}"):
        instance_splits(split_config(scenes))


def test_annotations_with_nothing_to_learn_are_refused_and_others_noted(scenes: Path) -> None:
    file = scenes / "instances_train.json"
    content = json.loads(file.read_text())
    for entry in content["annotations"]:
        entry["iscrowd"] = int(entry["category_id"] == 2)
    file.write_text(json.dumps(content))
    notes = notes_on(instance_splits(split_config(scenes))["train"])
    assert "no instance in train of ['large']" in notes[0]
    assert notes[1].startswith("4 annotation(s) of train are crowds")
    for entry in content["annotations"]:
        entry["iscrowd"] = 1
    file.write_text(json.dumps(content))
    for fields in (split_config(scenes), split_config(scenes, val_data=None)):
        with pytest.raises(UserError, match=r"nothing for train|too few"):
            instance_splits(fields)


def test_broken_images_are_found_before_training(scenes: Path) -> None:
    image = scenes / "val" / "03.png"
    image.write_bytes(image.read_bytes()[:-200])
    splits = instance_splits(split_config(scenes))
    with pytest.raises(UserError, match=r"03\.png cannot be read"):
        check_instances(splits)
    Image.new("RGB", (40, 48)).save(image)
    with pytest.raises(UserError, match=r"03\.png is 40×48 pixels"):
        check_instances(splits)


@pytest.mark.parametrize("fields", [None, 3, {"images": "train"}, {"images": 1, "annotations": []}])
def test_a_split_without_paths_is_told(scenes: Path, fields: Any) -> None:
    with pytest.raises(UserError, match=r"train_data=.*expected dict"):
        instance_splits(split_config(scenes, train_data=fields))


def test_annotations_of_another_folder_are_noticed(scenes: Path) -> None:
    (scenes / "train" / "00.png").unlink()
    with pytest.raises(UserError, match=r"train/00\.png"):
        instance_splits(split_config(scenes))
