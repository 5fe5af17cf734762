import json
from pathlib import Path

import pytest

from pipelines.cli.main import USER_MISTAKE
from tests.downstream.dense.convert.sources import (
    SOUND,
    content_of,
    write_coco,
    write_cvat,
    write_images,
    write_labelme,
    write_voc,
)
from tests.pipelines.cli.test_data import call  # noqa: F401  a fixture


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images")
    return tmp_path


def test_what_is_converted_passes_the_check(home: Path, call) -> None:  # noqa: F811
    write_voc(SOUND, home / "voc")
    code, out, _ = call("convert", "voc", "a.json", "--from", "voc", "--images", "images")
    assert code == 0
    assert (
        "a.json: 3 images, 1 without objects; 2 boxes, 0 polygons or masks of 2 classes; "
        "mended 0, dropped 0, left out 0\n"
        "next: mae-bench data check a.json --images images; for a file with the same classes: "
        "--classes a.json\n"
    ) in out
    code, out, _ = call("check", "a.json", "--images", "images")
    assert code == 0 and "3 images, 1 without annotation; boxes without masks" in out


def test_everything_that_changed_is_a_line_and_counted(home: Path, call) -> None:  # noqa: F811
    boxes = [("a.png", "[/red]", [30, 20, 20, 5]), ("a.png", "cat", [99, 0, 2, 2])]
    content = content_of([*boxes, ("b.jpg", "cat", [1, 1, 5, 5])])
    content["images"][1]["height"] = 4
    write_labelme(content, home / "images")
    path = home / "images" / "b.json"
    fields = json.loads(path.read_text())
    fields["shapes"] += [{"shape_type": "point", "label": "eye", "points": [[1, 1]]}] * 2
    path.write_text(json.dumps(fields))
    code, out, _ = call("convert", "images", "a.json", "--from", "labelme")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("mended: a.json: shape 1 '[/red]': its box reached 10 pixels out")
    assert lines[1].startswith("dropped: a.json: shape 2 'cat': no area is left of its box")
    assert lines[2].startswith("size: b.json states 24×4 pixels, 'b.jpg' has 24×20")
    assert "mended 1, dropped 1, left out 2 (2 point)" in out


def test_train_and_val_get_the_same_classes(home: Path, call) -> None:  # noqa: F811
    write_cvat(content_of([("a.png", "dog", [1, 1, 5, 5])]), home / "train")
    write_cvat(content_of([("b.jpg", name, [1, 1, 5, 5]) for name in "ab"]), home / "val")
    code, _, _ = call(
        *("convert", "train", "train.json", "--from", "cvat", "--images", "images"),
        *("--classes", "b,dog"),
    )
    assert code == 0
    arguments = ("convert", "val/annotations.xml", "val.json", "--from", "cvat")
    code, out, _ = call(*arguments, "--images", "images", "--classes", "train.json")
    assert code == 0 and "'a': its class is none of those that are taken" in out
    train, val = (json.loads((home / name).read_text()) for name in ("train.json", "val.json"))
    assert train["categories"] == val["categories"]
    assert train["categories"] == [{"id": 1, "name": "b"}, {"id": 2, "name": "dog"}]


def test_mistakes_are_one_message_without_a_traceback(home: Path, call) -> None:  # noqa: F811
    write_coco(SOUND, home / "coco")
    write_voc(SOUND, home / "voc")
    (home / "voc" / "odd.xml").write_bytes(b"<annotation>\xff")
    common = ("--images", "images", "--from")
    for arguments, message in (
        (("gone", "a.json", *common, "voc"), "no annotations at gone"),
        (("voc", "a.json", *common, "vog"), "did you mean 'voc'?"),
        (("voc", "a.json", *common, "voc"), "odd.xml is no XML: not well-formed"),
        (("voc", "a.json", "--from", "voc"), "voc holds no images"),
        (("coco", "a.json", *common, "coco"), "no annotations at coco: expected a COCO JSON"),
    ):
        code, _, err = call("convert", *arguments)
        assert code == USER_MISTAKE and message in err and "Traceback" not in err
        assert not (home / "a.json").exists()


def test_boxes_alone_and_edges_from_0_can_be_asked_for(home: Path, call) -> None:  # noqa: F811
    write_voc(SOUND, home / "voc")
    options = ("--from", "voc", "--images", "images", "--zero-based", "--boxes")
    code, _, _ = call("convert", "voc", "a.json", *options)
    first = json.loads((home / "a.json").read_text())["annotations"][0]
    assert code == 0 and first["bbox"] == [3, 4, 9, 11]
