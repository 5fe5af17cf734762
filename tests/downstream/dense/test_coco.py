import json
from pathlib import Path

import pytest

from downstream.dense.coco import parse_coco, read_categories, read_coco
from mae_core import UserError
from tests.downstream.dense.coco_files import sound_content


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


def write(folder: Path, content: object, name: str = "a.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_the_copy_is_of_known_fields_with_own_ids_and_reads_back_the_same(tmp_path: Path) -> None:
    content = sound_content()
    for entry in content["annotations"]:
        entry["source"] = "a tool"
    copy = read_coco(write(tmp_path, content))
    assert [entry["id"] for entry in copy.annotations] == [1, 2, 3, 4]
    assert [image["id"] for image in copy.images] == [5, 4, 0]  # losses depend on the order
    assert copy.as_json()["categories"] == [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
    for entry, raw in zip(copy.annotations, content["annotations"], strict=True):
        assert {**raw, "id": entry["id"]} == {**entry, "source": "a tool"}
    assert read_coco(write(tmp_path, copy.as_json())) == copy


def test_boxes_and_areas_follow_from_masks(tmp_path: Path) -> None:
    content = sound_content()
    for entry in content["annotations"]:
        del entry["bbox"], entry["area"], entry["iscrowd"]
    found = read_coco(write(tmp_path, content)).annotations
    boxes = [entry["bbox"] for entry in sound_content()["annotations"]]
    assert [entry["bbox"] for entry in found] == boxes
    assert [entry["area"] for entry in found][1::2] == [36, 8]
    assert all(entry["area"] > 20 for entry in found[::2])
    assert [entry["iscrowd"] for entry in found] == [0] * 4


def test_a_file_may_have_boxes_alone(tmp_path: Path) -> None:
    content = sound_content()
    for place, entry in enumerate(content["annotations"]):
        entry["segmentation"] = ([], None, [[]], {"size": [20, 24], "counts": []})[place]
        del entry["area"]
    copy = read_coco(write(tmp_path, content))
    assert not copy.has_masks and all("segmentation" not in entry for entry in copy.annotations)
    assert [entry["area"] for entry in copy.annotations] == [64, 36, 225, 8]
    assert read_coco(write(tmp_path, copy.as_json(), "b.json")) == copy
    content["annotations"][0]["bbox"] = [1, 1, 8, 0]
    assert parse_coco(write(tmp_path, content), None).flat == [
        "annotation 0: its box [1, 1, 8, 0] is empty"
    ]
    del content["annotations"][1]["bbox"]
    content["annotations"][2]["segmentation"] = "a"
    with pytest.raises(UserError, match="annotation 1: it has neither box nor mask") as refused:
        read_coco(write(tmp_path, content))
    assert "annotation 2: its segmentation is 'a': expected polygons" in str(refused.value)


def test_a_file_with_some_masks_is_told_which_lack_theirs(tmp_path: Path) -> None:
    content = sound_content()
    content["annotations"][2]["segmentation"] = []
    with pytest.raises(UserError, match=r"1 fault.*\n  annotation 2: it has no mask.*boxes alone"):
        read_coco(write(tmp_path, content))


def test_whole_numbers_may_be_written_as_fractions(tmp_path: Path) -> None:
    content = sound_content()
    content["images"][0].update(id=5.0, height=20.0)
    content["annotations"][0].update(iscrowd=False, image_id=5.0)
    assert read_coco(write(tmp_path, content)) == read_coco(write(tmp_path, sound_content(), "b"))


def test_ignored_annotations_stay_ignored(tmp_path: Path) -> None:
    content = sound_content()
    content["annotations"][0]["ignore"] = 1
    found = read_coco(write(tmp_path, content)).annotations
    assert [entry.get("ignore") for entry in found] == [1, None, None, None]


def test_a_polygon_too_thin_for_a_pixel_is_kept_if_its_box_says_so(tmp_path: Path) -> None:
    """COCO's train2017 has two, ids 918 and 2206849 (cocodataset/cocoapi, issue 355)."""
    content = sound_content()
    thin = {"segmentation": [[6.6, 8.33, 6.6, 8.33, 7.6, 8.33, 7.6, 8.33]]}
    content["annotations"][0].update(thin, bbox=[6.6, 8.33, 1.03, 0.0], area=0.0)
    parsed = parse_coco(write(tmp_path, content), None)
    assert len(parsed.content.annotations) == 4 and not parsed.faults
    assert len(parsed.flat) == 1 and "annotation 0: its box" in parsed.flat[0]
    content["annotations"][0]["bbox"] = [1, 1, 8, 8]
    with pytest.raises(UserError, match="annotation 0: its mask is empty"):
        read_coco(write(tmp_path, content))


def test_a_refusal_names_a_few_faults_and_the_command_that_lists_all(tmp_path: Path) -> None:
    content = sound_content()
    content["annotations"] = [{"id": place} for place in range(9)]
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError) as error:
        read_coco(write(tmp_path, content), tmp_path / "images")
    assert f"data check {tmp_path}/a.json --images {tmp_path}/images" in str(error.value)
    assert str(error.value).count("\n  ") == 5 and str(error.value).startswith("21 fault(s)")


@pytest.mark.parametrize(
    "text", ["[" * 9000, "9" * 9000, "\ufeff{", "null", "[1]", '{"images": {}}', "{" + "\0"]
)
def test_what_is_no_coco_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json (is no JSON|has no list 'images')"):
        read_coco(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"a\.json (is no JSON|has no list 'images')"):
        read_categories(tmp_path / "a.json")


def test_the_names_of_classes_need_sound_categories_only(tmp_path: Path) -> None:
    content = sound_content()
    content["annotations"][0]["bbox"] = None
    assert read_categories(write(tmp_path, content)) == ("one", "two")
    content["categories"][0]["name"] = "one"
    with pytest.raises(UserError, match="the name 'one' occurs 2 times"):
        read_categories(write(tmp_path, content))
