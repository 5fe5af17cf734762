import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from PIL import Image

from downstream.dense.coco import parse_coco, read_coco
from downstream.dense.convert.convert import Converted, Job, convert, parse_classes
from downstream.dense.instances import check_instances, instance_splits
from mae_core.errors import UserError
from tests.downstream.dense.convert.sources import (
    SOUND,
    WRITERS,
    Json,
    content_of,
    converted,
    write_images,
    write_voc,
    write_yolo,
)

Convert = Callable[..., Converted]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


@pytest.fixture
def run(tmp_path: Path, images: Path) -> Convert:
    """Write a content in a format and convert it."""

    def call(content: Json, kind: str, **options: Any) -> Converted:
        WRITERS[kind](content, tmp_path / "source")
        return converted(kind, tmp_path / "source", images, tmp_path / "out.json", **options)

    return call


def with_box(box: list[float]) -> Json:
    content = copy.deepcopy(SOUND)
    content["annotations"][0]["bbox"] = box
    return content


@pytest.mark.parametrize("kind", WRITERS)
def test_boxes_of_every_format_are_taken_by_detect(run: Convert, tmp_path: Path, kind: str) -> None:
    done = run(SOUND, kind)
    assert done.empty == 1 and not (done.mended or done.dropped or done.sizes)
    data = {"images": "images", "annotations": "out.json"}
    splits = instance_splits(
        Config({"data_root": str(tmp_path), "train_data": data, "val_data": data})
    )
    check_instances(splits)
    content = splits["train"].content
    assert content.names == ("cat", "dog") and not content.has_masks
    found = [entry["bbox"] for entry in content.annotations]
    assert found == [pytest.approx([2, 3, 10, 12]), pytest.approx([0, 0, 16, 64])]


@pytest.mark.parametrize("kind", WRITERS)
def test_in_every_format_a_box_is_clipped_or_dropped_by_name(run: Convert, kind: str) -> None:
    done = run(with_box([30, 20, 20, 5]), kind)
    assert done.content.annotations[0]["bbox"] == pytest.approx([30, 20, 10, 5])
    (line,) = done.mended
    assert "'cat': its box reached 10 pixels out of 40×30: clipped" in line
    done = run(with_box([41, 20, 20, 5]), kind)
    (line,) = done.dropped
    assert "'cat': no area is left of its box" in line and done.lost == 1
    assert len(done.content.annotations) == 1 and done.empty == 2


@pytest.mark.parametrize("kind", ["voc", "labelme", "cvat", "coco"])
def test_a_size_that_differs_is_said(run: Convert, images: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(images / "a.png", exif=exif)
    content = copy.deepcopy(SOUND)
    content["images"][1]["width"] = 25
    done = run(content, kind)
    turned, other = done.sizes
    assert "states 40×30 pixels, 'a.png' has 30×40, as it is shown, turned by its EXIF" in turned
    assert "states 25×20 pixels, 'b.jpg' has 24×20;" in other
    assert done.content.images[0]["height"] == 40


@pytest.mark.parametrize("kind", WRITERS)
def test_annotations_without_an_image_are_dropped_and_counted(
    run: Convert, images: Path, kind: str
) -> None:
    (images / "a.png").unlink()
    done = run(SOUND, kind)
    (line,) = done.dropped
    assert "1 object(s), no image a." in line and done.lost == 1
    assert [image["file_name"] for image in done.content.images] == ["b.jpg", "sub/c.png"]


@pytest.mark.parametrize("kind", ["voc", "yolo", "labelme"])
def test_images_without_annotations_are_kept_and_said(
    run: Convert, tmp_path: Path, kind: str
) -> None:
    run(SOUND, kind)
    for path in (tmp_path / "source").glob("b.*"):
        path.unlink()
    done = converted(kind, tmp_path / "source", tmp_path / "images", tmp_path / "out.json")
    assert len(done.content.images) == 3 and done.empty == 1
    assert any("1 image(s) have no annotations" in note for note in done.notes)


def test_marks_that_coco_lacks_are_said(run: Convert, tmp_path: Path) -> None:
    run(SOUND, "voc")
    path = tmp_path / "source" / "a.xml"
    marks = "<difficult>1</difficult><truncated>1</truncated>"
    path.write_text(path.read_text().replace("<difficult>0</difficult>", marks))
    done = converted("voc", tmp_path / "source", tmp_path / "images", tmp_path / "out.json")
    assert [entry["iscrowd"] for entry in done.content.annotations] == [1, 0]
    assert any("1 object(s) are marked as difficult" in note for note in done.notes)
    assert "taken as any other object, though marked: 1 truncated" in done.notes


@pytest.mark.parametrize("kind", ["cvat", "coco"])
def test_images_that_a_list_lacks_are_not_taken_and_said(run: Convert, kind: str) -> None:
    done = run({**SOUND, "images": SOUND["images"][::2]}, kind)
    assert [image["file_name"] for image in done.content.images] == ["a.png", "sub/c.png"]
    assert any("1 other image(s)" in note and "not listed" in note for note in done.notes)


@pytest.mark.parametrize("kind", WRITERS)
def test_classes_of_another_file_are_taken_and_others_dropped(
    run: Convert, tmp_path: Path, kind: str
) -> None:
    """So train and val have the same categories, whichever classes each has."""
    train = [("a.png", "ant", [1, 1, 5, 5]), ("a.png", "dog", [1, 1, 5, 5])]
    run(content_of(train), kind)
    (tmp_path / "out.json").rename(tmp_path / "train.json")
    chosen = parse_classes(str(tmp_path / "train.json"))
    for path in (tmp_path / "source").glob("*"):
        if path.is_file():
            path.unlink()
    done = run(SOUND, kind, classes=chosen)
    assert done.content.categories == {1: "ant", 2: "dog"}
    assert [entry["category_id"] for entry in done.content.annotations] == [2]
    (line,) = done.dropped
    assert "'cat': its class is none of those that are taken" in line
    assert "no object of the class(es) ['ant']" in done.notes


def test_classes_are_told_in_their_order() -> None:
    assert parse_classes("b, a") == {1: "b", 2: "a"}
    for odd in ("a,,b", "a,a", ",", "a\tb,c"):
        with pytest.raises(UserError, match="expected different names a,b,c"):
            parse_classes(odd)
    with pytest.raises(UserError, match=r"no annotations at gone.json"):
        parse_classes("gone.json")


def test_classes_that_may_be_one_are_said(run: Convert) -> None:
    boxes = [("a.png", name, [1, 1, 5, 5]) for name in ("Cat", "cat", "dog")]
    assert any("['Cat', 'cat']" in note for note in run(content_of(boxes), "voc").notes)


@pytest.mark.parametrize("kind", ["yolo", "labelme", "cvat", "coco"])
def test_boxes_and_polygons_in_one_file_are_said_and_can_be_boxes(
    run: Convert, tmp_path: Path, images: Path, kind: str
) -> None:
    content = copy.deepcopy(SOUND)
    content["annotations"][1]["segmentation"] = [[1, 2, 11, 2, 11, 40]]
    content["annotations"][1].update(bbox=[1, 2, 10, 38], area=190)
    notes = run(content, kind).notes
    assert any("1 object(s) have polygons or masks, 1 a box alone" in note for note in notes)
    assert "has no mask" in parse_coco(tmp_path / "out.json", images).faults[0]
    done = run(content, kind, boxes=True)
    assert not any("box alone" in note for note in done.notes)
    assert read_coco(tmp_path / "out.json", images).annotations[1]["bbox"] == [1, 2, 10, 38]


def test_two_annotations_of_an_image_are_refused(
    run: Convert, tmp_path: Path, images: Path
) -> None:
    write_voc(SOUND, tmp_path / "source" / "again")
    with pytest.raises(UserError, match=r"again/a.xml .*are both of the image 'a.png'|a.xml and"):
        run(SOUND, "voc")


def test_names_that_two_folders_have_need_folders_in_the_annotations(
    run: Convert, tmp_path: Path, images: Path
) -> None:
    for name in ("x", "y"):
        (images / name).mkdir()
        shutil.copy(images / "b.jpg", images / name)
    (images / "b.jpg").unlink()
    with pytest.raises(
        UserError, match=r"b.xml may be of several images, \['x/b.jpg', 'y/b.jpg'\]"
    ):
        run(content_of([("b.jpg", "cat", [1, 1, 5, 5])]), "voc")


def test_images_found_by_name_alone_are_said(tmp_path: Path, images: Path) -> None:
    write_voc(SOUND, tmp_path / "source")
    (tmp_path / "source" / "sub").rename(tmp_path / "source" / "other")
    done = converted("voc", tmp_path / "source", images, tmp_path / "out.json")
    assert any("1 image(s) were found by name alone" in note for note in done.notes)
    assert not done.dropped


def test_images_of_other_names_than_stated_are_said(tmp_path: Path, images: Path) -> None:
    write_voc(SOUND, tmp_path / "source")
    path = tmp_path / "source" / "a.xml"
    path.write_text(path.read_text().replace("a.png", "camera.png"))
    done = converted("voc", tmp_path / "source", images, tmp_path / "out.json")
    assert any("a.xml, which says 'camera.png'" in note for note in done.notes)
    assert not done.dropped


def test_broken_files_are_counted_and_nothing_is_written(tmp_path: Path, images: Path) -> None:
    write_yolo(SOUND, tmp_path / "source")
    for place in range(7):
        (tmp_path / "source" / f"odd{place}.txt").write_text("0 nan 0 0 0")
    (images / "b.jpg").write_bytes(b"none")
    with pytest.raises(UserError, match=r"8 fault\(s\) in .*nothing was written") as error:
        converted("yolo", tmp_path / "source", images, tmp_path / "out.json")
    assert str(error.value).count("odd") == 5 and not (tmp_path / "out.json").exists()


def test_without_an_object_nothing_is_written(run: Convert, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no object of .* is left.*: 2 dropped") as error:
        run(SOUND, "voc", classes={1: "bird"})
    assert "a.xml: object 1 'cat': its class is none" in str(error.value)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"kind": "coc"}, "--from coc is unknown: did you mean 'coco'"),
        ({"kind": "yolo", "zero_based": True}, "--zero-based is for --from voc"),
        ({"source": "gone"}, "no annotations at .*gone: expected a folder or a file"),
        ({"source": "images"}, r"no annotations in .*images: expected files \*.xml"),
        ({"images": "gone"}, "no folder .*gone with images"),
        ({"out": "out.txt"}, "out.txt: expected a file .json in a folder that exists"),
        ({"out": "gone/out.json"}, "expected a file .json in a folder that exists"),
        ({"kind": "labelme", "out": "source/o.json"}, "would be a part of .*source, which is read"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, images: Path, change: dict[str, Any], words: str
) -> None:
    write_voc(SOUND, tmp_path / "source")
    asked = {"source": "source", "images": "images", "kind": "voc", "out": "out.json", **change}
    for key in ("source", "images"):
        asked[key] = tmp_path / asked[key]
    out = tmp_path / asked.pop("out")
    with pytest.raises(UserError, match=words):
        convert(Job(**asked), out)


def test_a_file_is_not_written_over_itself(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(SOUND))
    with pytest.raises(UserError, match="write to another place"):
        convert(Job(path, "coco", images), path)
    assert json.loads(path.read_text()) == SOUND
