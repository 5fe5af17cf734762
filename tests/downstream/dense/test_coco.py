import json
from pathlib import Path

import pytest

from downstream.dense.coco import read_categories, read_coco
from mae_core import UserError


def test_a_label_is_a_place_among_the_sorted_ids(scenes: Path) -> None:
    file = scenes / "instances_train.json"
    content = json.loads(file.read_text())
    content["categories"] = [{"id": 2, "name": "large"}, {"id": 1, "name": "small"}]
    file.write_text(json.dumps(content))
    assert read_coco(file).names == read_categories(file) == ("small", "large")


def test_a_part_has_the_annotations_of_its_images(scenes: Path) -> None:
    whole = read_coco(scenes / "instances_train.json")
    part = whole.only(lambda name: name in ("01.png", "03.png"))
    assert [image["file_name"] for image in part.images] == ["01.png", "03.png"]
    assert {entry["image_id"] for entry in part.annotations} == {2, 4}
    path = scenes / "part.json"
    path.write_text(json.dumps(part.as_json()))
    assert read_coco(path) == part


def test_a_missing_annotation_file_is_named(scenes: Path) -> None:
    with pytest.raises(UserError, match=r"no annotations at .*instances_test\.json"):
        read_coco(scenes / "instances_test.json")


def test_a_file_that_is_no_json_is_named(scenes: Path) -> None:
    (scenes / "instances_train.json").write_text("images: []")
    with pytest.raises(UserError, match=r"instances_train\.json is no JSON"):
        read_coco(scenes / "instances_train.json")


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_an_empty_list_is_named(scenes: Path, key: str) -> None:
    file = scenes / "instances_train.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: []}))
    with pytest.raises(UserError, match=f"no '{key}'"):
        read_coco(file)
