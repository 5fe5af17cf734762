import json
import re
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from mmengine.config import Config
from PIL import Image

from downstream.dense.faults import check_annotations, images_of
from downstream.dense.instances import check_instances, instance_splits
from downstream.dense.mask_folder import check_mask_folder
from mae_core import UserError
from tests.downstream.dense.coco_files import broken_files, write_images

Change = Callable[[dict[str, Any]], None]


def faults_after(scenes: Path, change: Change) -> list[str]:
    file = scenes / "instances_train.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return check_annotations(file, scenes / "train").faults


def test_sound_annotations_have_no_faults(scenes: Path) -> None:
    found = check_annotations(scenes / "instances_train.json", scenes / "train")
    assert found.faults == []
    assert (found.images, found.empty) == (8, 0)
    assert found.instances == {"small": 4, "large": 4} and found.kinds == {"RLE": 8}


def set_in(key: str, value: Any, entries: str = "annotations") -> Change:
    return lambda content: content[entries][0].__setitem__(key, value)


@pytest.mark.parametrize(
    "change, words",
    [
        (set_in("bbox", [40, 0, 20, 10]), "annotation 1.*reaches out of the image of 48×48"),
        (set_in("bbox", [-9, 0, 20, 10]), "reaches out"),
        (set_in("bbox", [4, 4, 0, 10]), "is empty"),
        (set_in("bbox", [4, 4]), "expected .left, top, width, height."),
        (set_in("bbox", None), "its box is None"),
        (set_in("category_id", 77), "category 77 is unknown"),
        (set_in("image_id", 77), "image 77 is unknown"),
        (set_in("segmentation", []), "has no mask"),
        (set_in("segmentation", [[1, 2, 3]]), "a polygon has 3 numbers"),
        (set_in("segmentation", [[1, 2, 3, 4, 5, 99]]), "polygon reaches out"),
        (set_in("segmentation", [[5, 5, 5, 5, 5, 5]]), "mask is empty"),
        (set_in("segmentation", {"size": [48, 48], "counts": [2304]}), "mask is empty"),
        (set_in("segmentation", {"size": [48, 48], "counts": [9]}), "runs are 9 pixels, not 2304"),
        (set_in("segmentation", {"size": [9, 9], "counts": [81]}), "mask is for .9, 9."),
        (set_in("file_name", "gone.png", "images"), "image 1: no file at .*gone.png"),
        (set_in("height", 40, "images"), "00.png is 48×48 pixels, the annotations say 48×40"),
        (set_in("height", None, "images"), "image 1 has no height and width"),
        (lambda content: content["images"].append(content["images"][0]), "id 1 occurs 2 times"),
        (set_in("id", 2), "annotations: the id 2 occurs 2 times"),
        (set_in("id", 2, "categories"), "categories: the id 2 occurs 2 times"),
        (set_in("name", "large", "categories"), "categories: the name 'large' occurs 2 times"),
        (set_in("name", None, "categories"), "category 1: its name is None"),
        (set_in("id", "one", "images"), "images: the id 'one' is no whole number"),
        (set_in("id", None), "annotations: 1 without an id"),
        (set_in("area", float("nan")), "its area is nan"),
        (set_in("area", 0), "its area is 0, its mask has 256 pixels"),
        (set_in("area", None), "its area is None"),
        (set_in("iscrowd", "no"), "its iscrowd is 'no'"),
        (set_in("bbox", [4, 4, float("inf"), 10]), "its box is .4, 4, inf, 10."),
        (set_in("height", 10**9, "images"), "48,000,000,000 pixels: at most"),
        (set_in("height", "48", "images"), "no height and width: found '48' and 48"),
        (set_in("file_name", "/dev/zero", "images"), "'/dev/zero' may lie outside of"),
        (set_in("file_name", "../val/00.png", "images"), "'../val/00.png' may lie outside of"),
        (set_in("file_name", "link/../00.png", "images"), "00.png' may lie outside of"),
        (set_in("file_name", "01.png", "images"), "the file_name '01.png' occurs 2 times"),
        (set_in("file_name", None, "images"), "its file_name is None"),
        (lambda content: content["images"].append(3), "the image at place 8 is 3"),
        (lambda content: content["annotations"].append(None), "annotation at place 8 is None"),
        (lambda content: content["categories"].append("a"), "category at place 2 is 'a'"),
    ],
)
def test_each_fault_is_told(scenes: Path, change: Change, words: str) -> None:
    faults = faults_after(scenes, change)
    assert any(re.search(words, fault) for fault in faults), faults


def test_a_broken_image_is_told_and_an_empty_one_counted(scenes: Path) -> None:
    (scenes / "train" / "00.png").write_bytes(b"no image")
    faults = faults_after(scenes, lambda content: content["annotations"].pop())
    assert len(faults) == 1 and "00.png cannot be read" in faults[0]
    assert check_annotations(scenes / "instances_train.json", scenes / "train").empty == 1


def test_images_are_decoded_and_turned_as_their_exif_says(scenes: Path) -> None:
    torn, turned = scenes / "train" / "00.png", scenes / "train" / "01.png"
    torn.write_bytes(torn.read_bytes()[:-200])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (40, 48)).save(turned, exif=exif)

    def lie(content: dict[str, Any]) -> None:
        content["images"][1].update(height=48, width=40)

    faults = faults_after(scenes, lie)
    assert any("00.png cannot be read" in fault for fault in faults)
    assert any("01.png is 48×40 pixels (as it is shown" in fault for fault in faults)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=broken_files())
def test_no_file_makes_more_than_messages(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What the check of a stage accepts, `data check` accepts too; neither raises or is large."""
    folder = tmp_path_factory.mktemp("coco")
    write_images(folder / "images")
    (folder / "a.json").write_text(text)
    split = {"images": "images", "annotations": "a.json"}
    config = Config({"data_root": str(folder), "train_data": split, "val_data": split})
    before = getrusage(RUSAGE_SELF).ru_maxrss
    try:
        found = check_annotations(folder / "a.json", folder / "images")
        lines = [*found.faults, *found.flat, *found.instances]
    except UserError as error:
        lines = [str(error)]
    try:
        check_instances(instance_splits(config))
    except UserError as error:
        assert lines or "nothing for" in str(error)
        lines.append(str(error))
    else:
        assert lines == [*found.flat, *found.instances]
    "".join(lines).encode()  # which half of a surrogate pair would refuse
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


def test_a_file_without_the_lists_is_refused(scenes: Path) -> None:
    (scenes / "a.json").write_text("{}")
    with pytest.raises(UserError, match="no list 'images'"):
        check_annotations(scenes / "a.json", scenes)


def test_masks_are_counted_by_value(scenes: Path) -> None:
    found = check_mask_folder(scenes / "train", scenes / "train_masks")
    assert found.faults == [] and found.images == 8 and set(found.pixels) == {0, 1, 2}
    assert sum(found.pixels.values()) == pytest.approx(1)


def test_faulty_masks_are_told(scenes: Path) -> None:
    masks = scenes / "train_masks"
    Image.new("RGB", (48, 48)).save(masks / "00.png")
    Image.new("L", (9, 48)).save(masks / "01.png")
    Image.fromarray(np.full((48, 48), 255, np.uint8)).save(masks / "02.png")
    faults = check_mask_folder(scenes / "train", masks).faults
    assert [
        "00.png is in colours (RGB)" in faults[0],
        "9×48 pixels" in faults[1],
        "no pixel" in faults[2],
    ] == [True] * 3


def test_the_images_of_a_coco_file_are_guessed_as_coco_names_them(tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    (tmp_path / "annotations").mkdir()
    assert images_of(tmp_path / "annotations" / "instances_val2017.json") == tmp_path / "val2017"
    with pytest.raises(UserError, match="--images"):
        images_of(tmp_path / "annotations" / "instances_train.json")
