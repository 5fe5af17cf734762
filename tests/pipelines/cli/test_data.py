import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mae_core.data.sources import data_digest, open_source
from pipelines.cli.main import USER_MISTAKE, main
from tests.downstream.conftest import scenes  # noqa: F401  a fixture
from tests.tiny import write_images

Call = tuple[int, str, str]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data") / "train"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Exit code, output and messages of `mae-bench data ...` in this process."""

    def run(*arguments: object) -> Call:
        monkeypatch.setattr(sys, "argv", ["mae-bench", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        done = capsys.readouterr()
        return int(end.value.code or 0), done.out, done.err

    return run


def test_check_shows_what_is_there(data: Path, call) -> None:
    code, out, _ = call("check", data, "--workers", 1)
    assert code == 0
    for part in ("16", "12×12", "PNG L: 16", "class-0", "2 classes", data_digest(str(data))[:32]):
        assert part in out
    assert "one class only" not in out


def test_check_names_every_unreadable_file_and_exits_with_2(data: Path, call) -> None:
    for name in ("a.jpg", "b.png"):
        (data / "class-1" / name).write_bytes(b"no image")
    code, out, err = call("check", data, "--workers", 1)
    assert code == USER_MISTAKE
    assert f"{data}/class-1/a.jpg cannot be read" in out and f"{data}/class-1/b.png cannot" in out
    assert "2 of 18 images cannot be read" in err and "skip_unreadable=True" in err


def test_check_warns_of_a_single_class(data: Path, call) -> None:
    for path in (data / "class-1").iterdir():
        path.unlink()
    code, out, _ = call("check", data, "--workers", 0)
    assert code == 0 and "one class only" in out


def test_check_of_many_classes_and_no_labels_stays_short(tmp_path: Path, call) -> None:
    images = np.zeros((60, 4, 4), np.uint8)
    labels = [*range(50), *[-1] * 10]
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    code, out, _ = call("check", tmp_path / "x.npz", "--workers", 0)
    assert code == 0 and "50 classes" in out and "30 more" in out and "no label" in out


def test_pack_writes_what_check_and_configs_can_read(data: Path, tmp_path: Path, call) -> None:
    (data / "class-1" / "bad.jpg").write_bytes(b"no image")
    out_folder = tmp_path / "packed"
    code, out, _ = call("pack", data, out_folder, "--short-side", 8, "--workers", 1)
    assert code == 0
    assert f"{out_folder}: 16 images, 0.0 MB where there were 0.0; shards: 1" in out
    assert f"left out: {data}/class-1/bad.jpg cannot be read" in out
    assert open_source(str(out_folder)).classes == ["class-0", "class-1"]
    code, out, _ = call("check", out_folder, "--workers", 0)
    assert code == 0 and "JPEG L: 16" in out and "8×8" in out


def test_bench_says_what_bounds(data: Path, call) -> None:
    code, out, _ = call("bench", data, "--input-size", 12, "--workers", 0)
    assert code == 0
    for part in ("read", "decode and crop", "collate", "to the device", "bounds the loading"):
        assert part in out
    _, out, _ = call("bench", data, "--input-size", 12, "--workers", 0, "--step-rate", 0.001)
    assert "the training step (0 images/s) bounds, not the loading" in out
    _, out, _ = call("bench", data, "--input-size", 12, "--workers", 0, "--step-rate", 1e9)
    assert "slower than the training step's 1,000,000,000" in out


def test_mistakes_are_one_message(data: Path, tmp_path: Path, call) -> None:
    for arguments, message in (
        (("check", tmp_path / "no"), "no data at"),
        (("pack", data, data), "is there already"),
        (("pack", data, tmp_path / "x", "--quality", 0), "quality 0: expected 1 to 100"),
        (("bench", data, "--auto-augment", "odd"), "timm refuses"),
    ):
        code, _, err = call(*arguments)
        assert code == USER_MISTAKE and message in err and "Traceback" not in err


def test_check_lists_every_fault_of_a_coco_file(scenes: Path, call) -> None:  # noqa: F811
    file = scenes / "instances_train.json"
    code, out, _ = call("check", file)
    assert code == 0 and "8 images, 0 without annotation; masks: 8 RLE" in out
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"] = [40, 40, 40, 40]
    content["annotations"][1]["category_id"] = 9
    file.write_text(json.dumps(content))
    code, out, err = call("check", file, "--images", scenes / "train")
    assert code == USER_MISTAKE and "2 fault(s)" in err
    assert "annotation 1: its box" in out and "annotation 2: category 9 is unknown" in out


def test_names_of_categories_are_shown_as_they_are(scenes: Path, call) -> None:  # noqa: F811
    file = scenes / "instances_train.json"
    content = json.loads(file.read_text())
    content["categories"][0]["name"] = "[/red] a"
    file.write_text(json.dumps(content))
    code, out, _ = call("check", file)
    assert code == 0 and "[/red] a" in out
    content["categories"][0]["name"] = "\ud800"
    file.write_text(json.dumps(content))
    code, out, err = call("check", file)
    assert code == USER_MISTAKE and "its name is '\\ud800'" in out and "1 fault(s)" in err
    code, _, err = call("check", scenes / "gone.json")
    assert code == USER_MISTAKE and "no annotations at" in err
    code, _, err = call("check", file, "--images", scenes / "gone")
    assert code == USER_MISTAKE and "no folder" in err


def test_check_looks_at_masks(scenes: Path, call) -> None:  # noqa: F811
    code, out, _ = call("check", scenes / "train", "--masks", scenes / "train_masks")
    assert code == 0 and "8 images" in out
    Image.new("L", (9, 9)).save(scenes / "train_masks" / "00.png")
    code, out, err = call("check", scenes / "train", "--masks", scenes / "train_masks")
    assert code == USER_MISTAKE and "1 fault(s)" in err and "00.png is 9×9 pixels" in out


def test_check_says_what_it_took_masks_for(scenes: Path, call) -> None:  # noqa: F811
    for mask in sorted((scenes / "train_masks").iterdir()):
        colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)[
            np.array(Image.open(mask))
        ]
        Image.fromarray(colours).save(scenes / "train" / f"{mask.stem}_mask.png")
    check = "check", scenes / "train", "--masks", scenes / "train" / "{name}_mask.png"
    code, out, _ = call(*check)
    assert code == 0 and "8 images" in out and "{name}_mask.png: 3 classes by colour" in out
    assert "pixel_values=['#000000','#0000ff','#ff0000']" in out and "%" in out
    code, out, err = call(*check, "--pixel-values", "['#000000','#ff0000']")
    assert code == USER_MISTAKE and "00_mask.png holds" not in out  # it has no blue
    assert "01_mask.png holds '#0000ff'" in out and "4 fault(s)" in err
    told = ("--pixel-values", "['#000000',[255,0,0]]", "--ignored", "['#0000ff']")
    code, out, _ = call(*check, *told)
    assert code == 0 and "2 classes by colour" in out and "none" in out
    code, _, err = call(*check, "--pixel-values", "red")
    assert code == USER_MISTAKE and "pixel_values='red': expected" in err
