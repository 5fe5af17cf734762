from pathlib import Path

import pytest

from downstream.dense.convert.found import Found
from downstream.dense.convert.yolo import read_yolo
from mae_core.errors import UserError


def read(folder: Path, text: str, yaml: str = "names: [cat, dog]") -> Found:
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "labels" / "train" / "a.txt").write_text(text)
    (folder / "data.yaml").write_text(yaml)
    return read_yolo(folder / "labels" / "train", [])


def test_boxes_and_polygons_are_told_apart(tmp_path: Path) -> None:
    found = read(tmp_path, "0 0.5 0.5 0.2 0.4\n\n1.0 0 0 1 0 1 1\n")
    box, polygon = found.annotated[0].objects
    assert (box.where, box.label, box.mask) == ("line 1", "cat", None)
    assert box.box == pytest.approx([0.4, 0.3, 0.2, 0.4])
    assert (polygon.where, polygon.label, polygon.mask) == ("line 3", "dog", [[0, 0, 1, 0, 1, 1]])
    assert found.annotated[0].relative and found.categories == {1: "cat", 2: "dog"}


def test_keypoints_are_left_out_and_counted(tmp_path: Path) -> None:
    line = "0 .5 .5 .2 .4 " + ".1 .2 2 " * 3
    found = read(tmp_path, f"{line}\n0 .5 .5 .2 .4", "names: {0: cat}\nkpt_shape: [3, 3]")
    assert [thing.mask for thing in found.annotated[0].objects] == [None, None]
    assert +found.left_out == {"keypoints of an object": 1}


def test_a_number_without_a_name_is_no_class(tmp_path: Path) -> None:
    (thing,) = read(tmp_path, "7 .5 .5 .2 .4").annotated[0].objects
    assert thing.label == "" and thing.where == "line 1, class 7"


@pytest.mark.parametrize(
    "name, text",
    [
        ("classes.txt", "\ufeffcat\r\ndog\r\n\r\n"),
        ("obj.names", "cat\ndog"),
        ("data.yml", "names: {1: dog, 0: cat}"),
        ("dataset.yaml", "names:\n  - cat\n  - dog"),
    ],
)
def test_classes_are_named_by_files_of_all_kinds(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "a.txt").write_text("1 .5 .5 .2 .4")
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_yolo(tmp_path, ["others"])
    assert found.categories == {1: "cat", 2: "dog"}
    assert not found.broken and name in found.notes[0]
    assert [annotated.file for annotated in found.annotated] == ["a.txt"]


def test_without_such_a_file_classes_are_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "1" / "2" / "3"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("1 .5 .5 .2 .4")
    with pytest.raises(UserError, match=r"nothing names the classes of .*or --classes a,b,c"):
        read_yolo(folder, [])
    assert read_yolo(folder, ["b", "a"]).categories == {1: "b", 2: "a"}


def test_files_that_name_other_classes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 .5 .5 .2 .4")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]")
    (tmp_path / "classes.txt").write_text("dog\ncat")
    with pytest.raises(UserError, match=r"data.yaml and classes.txt name different classes"):
        read_yolo(tmp_path, [])


@pytest.mark.parametrize(
    "text, words",
    [
        ("names: [", "is no YAML"),
        ("names: cat", "has 'cat' as names"),
        ("[1, 2]", "has None as names"),
        ("names: [cat, cat]", "names two classes alike"),
        ("names: {a: cat}", "has 'a' among its names"),
        ("names: {-1: cat}", "has -1 among its names"),
        ("names: [null]", "has None among its names"),
        ("names: []", "has {} among its names"),
        ("names: [a]\nkpt_shape: [x]", "as kpt_shape"),
        ("names: !!python/object/apply:os.system ['true']", "is no YAML"),
        ("[" * 600, "is no YAML"),
    ],
)
def test_a_broken_file_of_classes_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=r"data\.yaml") as error:
        read(tmp_path, "0 .5 .5 .2 .4", text)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "line, words",
    [
        ("0 0.5 0.5 0.2", "a.txt has 4 numbers in line 1"),
        ("0 0.5 0.5 0.2 0.2 0.9", "has 6 numbers in line 1"),
        ("0 0 0 1 0 1 1 1", "has 8 numbers in line 1"),
        ("0 nan 0.5 0.2 0.2", "has 'nan' as a number of line 1"),
        ("0 1e400 0.5 0.2 0.2", "has '1e400' as a number"),
        ("0 320 240 50 50", "has 320 in line 1: expected shares of the image's sides"),
        ("0 0.5 0.5 -0.2 0.2", "has the size -0.2, 0.2 in line 1"),
        ("dog 0.5 0.5 0.2 0.2", "has 'dog' as a number of line 1"),
        ("0.5 0.5 0.5 0.2 0.2", "has '0.5' as class of line 1"),
    ],
)
def test_a_broken_line_is_named_with_the_reason(tmp_path: Path, line: str, words: str) -> None:
    found = read(tmp_path, line)
    assert len(found.broken) == 1 and words in found.broken[0]


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    read(tmp_path, "")
    file = tmp_path / "labels" / "train" / "a.txt"
    file.write_bytes("0 .5 .5 .2 .4".encode("utf-16"))
    (line,) = read_yolo(file, []).broken
    assert "a.txt is no text in UTF-8" in line


def test_images_lie_in_a_folder_of_that_name_in_place_of_labels(tmp_path: Path) -> None:
    read(tmp_path, "0 .5 .5 .2 .4")
    (tmp_path / "labels" / "labels.txt").write_text("")
    found = read_yolo(tmp_path, [])
    stems = [annotated.stem for annotated in found.annotated]
    assert stems == ["images/labels", "images/train/a"]
