import copy
import json
from pathlib import Path
from typing import Any

import pytest

from downstream.dense.convert.coco import read_coco_file
from downstream.dense.convert.found import Found
from mae_core.errors import UserError
from tests.downstream.dense.coco_files import sound_content


def read(folder: Path, content: Any) -> Found:
    (folder / "a.json").write_text(json.dumps(content))
    return read_coco_file(folder / "a.json")


def test_masks_crowds_and_ids_are_taken(tmp_path: Path) -> None:
    content = sound_content()
    content["annotations"][0]["ignore"] = 1
    content["annotations"][1]["keypoints"] = [1, 1, 2]
    found = read(tmp_path, content)
    assert not found.broken and found.categories == {1: "one", 2: "two"}
    assert [annotated.path for annotated in found.annotated] == ["5.png", "4.png", "0.png"]
    first, third = found.annotated[0].objects
    assert (first.label, first.ignore, first.crowd) == ("two", True, False)
    assert third.mask == content["annotations"][2]["segmentation"]
    assert [thing.crowd for thing in found.annotated[1].objects] == [False, True]
    assert +found.left_out == {"keypoints of an object": 1}


def test_an_unknown_image_or_class_is_no_fault_of_the_file(tmp_path: Path) -> None:
    content = sound_content()
    content["annotations"][0]["image_id"] = 77
    content["annotations"][2]["category_id"] = 9
    found = read(tmp_path, content)
    assert found.dropped == ["a.json: annotation 0: its image 77 is unknown"]
    (thing,) = found.annotated[0].objects
    assert thing.label == "" and thing.where == "annotation 2, category 9"


@pytest.mark.parametrize(
    "key, value, words",
    [
        ("bbox", [1, 2, 3], "has [1, 2, 3] as box of annotation 0"),
        ("bbox", [1, 2, -3, 4], "expected a width and a height above 0"),
        ("bbox", [1, 2, float("nan"), 4], "has nan as a side of the box"),
        ("iscrowd", 2, "has 2 as iscrowd"),
        ("ignore", "no", "has 'no' as ignore"),
        ("segmentation", [[1, 2, 3]], "has [1, 2, 3] as a polygon"),
        ("segmentation", [[1, 2, 3, 4, 5, 10**400]], "as a point of annotation 0"),
        ("segmentation", ["x"], "has 'x' as a polygon"),
    ],
)
def test_a_broken_annotation_is_named(tmp_path: Path, key: str, value: Any, words: str) -> None:
    content = sound_content()
    content["annotations"][0][key] = value
    (line,) = read(tmp_path, content).broken
    assert line.startswith("a.json ") and words in line


def test_broken_images_are_named(tmp_path: Path) -> None:
    content = sound_content()
    content["images"][0]["file_name"] = None
    content["images"][1]["height"] = "x"
    content["images"].append(copy.deepcopy(content["images"][2]))
    lines = read(tmp_path, content).broken
    assert "images: the id 0 occurs 2 times" in lines[0]
    assert "has no file_name in the image at place 0" in lines[1]
    assert "has 'x' as the image's height" in lines[2]


def test_broken_categories_and_files_are_refused(tmp_path: Path) -> None:
    content = sound_content()
    content["categories"][0]["name"] = "one"
    with pytest.raises(UserError, match="the name 'one' occurs 2 times"):
        read(tmp_path, content)
    with pytest.raises(UserError, match="no annotations at"):
        read_coco_file(tmp_path / "gone.json")
