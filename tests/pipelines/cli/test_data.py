import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mae_core.data.sources import data_digest, open_source
from pipelines.cli.main import USER_MISTAKE, main
from tests.bands import field, write_fields
from tests.downstream.conftest import scenes  # noqa: F401  a fixture
from tests.mae_core.data.test_likeness import smooth
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


def test_check_and_pack_take_a_table_with_names_of_its_own(
    data: Path, tmp_path: Path, call
) -> None:
    rows = [f"class-{i}/{n}.png,{'ab'[i]},p{n % 3}" for i in range(2) for n in range(6)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["img;dx;patient", *(row.replace(",", ";") for row in rows)]))
    named = ("-o", "columns.path=img", "-o", "columns.label=dx", "-o", f"root={data}")
    code, out, _ = call("check", table, *named, "-o", "columns.group=patient", "--workers", 0)
    assert code == 0 and "2 classes" in out
    assert ["groups", "3"] in [line.replace("│", " ").split()[:2] for line in out.splitlines()]
    code, _, _ = call("pack", table, tmp_path / "packed", *named, "--workers", 0)
    assert code == 0 and open_source(str(tmp_path / "packed")).classes == ["a", "b"]
    code, _, err = call("check", table, "--workers", 0)
    assert code == USER_MISTAKE and "'img', 'dx', 'patient'" in err
    code, _, err = call("check", table, "-o", "colums.path=img")
    assert code == USER_MISTAKE and "columns" in err


def test_check_shows_labels_and_numbers(
    data: Path, tmp_path: Path, call, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"class-0/{n}.png;{'|'.join('ab'[: n % 3])};{n % 2};{n}.5" for n in range(6)]
    table = data / "t.csv"
    table.write_text("\n".join(["path;labels;c[/];age", *rows]))
    code, out, _ = call("check", table, "--workers", 0)
    shown = [line.replace("│", " ").split() for line in out.splitlines()]
    assert code == 0 and "2 labels" in out and "classes" not in out
    assert ["a", "4"] in shown and ["b", "2"] in shown and ["no", "label", "2"] in shown
    assert ["labels", "an", "image", "1"] in shown
    assert "labels are separated by '|', in 2 rows" in caplog.text
    code, out, _ = call("check", table, "-o", "columns.labels=['c[/]']", "--workers", 0)
    assert code == 0 and "1 label" in out and "c[/]" in out
    assert "'labels' is not read" in caplog.text
    number = ("-o", "columns.number=age", "-o", "unit=years", "--workers", 0)
    code, out, _ = call("check", table, *number)
    assert code == 0 and "age (years)" in out
    assert ["age", "(years)", "0.5", "3", "5.5"] in [
        line.replace("│", " ").split() for line in out.splitlines()
    ]
    code, _, _ = call("pack", table, tmp_path / "packed", *number)
    code, out, _ = call("check", tmp_path / "packed", "--workers", 0)
    assert code == 0 and "age (years)" in out
    code, _, err = call("check", table, "-o", "unit=years", "--workers", 0)
    assert code == USER_MISTAKE and "unit='years' is of numbers" in err and "Traceback" not in err


def test_bench_and_duplicates_take_images_with_labels(data: Path, call) -> None:
    names = [f"class-{i}/{n}.png,{n}" for i in range(2) for n in range(6)]
    (data / "t.csv").write_text("\n".join(["path,number", *names]))
    code, out, _ = call("bench", data / "t.csv", "--input-size", 12, "--workers", 0)
    assert code == 0 and "bounds the loading" in out
    out_folder = data.parent / "pairs"
    found = call("check", data / "t.csv", "--against", data / "t.csv", "--out", out_folder)
    assert found[0] in (0, USER_MISTAKE) and (out_folder / "names.txt").is_file()


def test_stats_prints_a_line_for_a_config_and_draws(tmp_path: Path, call) -> None:
    data = write_fields(tmp_path / "fields") / "train"
    picture = tmp_path / "stats.png"
    code, out, _ = call("stats", data, "--bands", "3,0", "--out", picture, "--workers", 0)
    assert code == 0 and "percentiles are exact" in out and picture.is_file()
    (line,) = [line for line in out.splitlines() if line.startswith("pixels = dict(mean=[")]
    images = [field(1000 * label + i, label=label) for label in range(3) for i in range(6)]
    mean = np.stack(images)[..., [3, 0]].mean(axis=(0, 1, 2))
    assert f"mean=[{mean[0]:.6g}, {mean[1]:.6g}]" in line and line.count("std=[") == 1
    code, out, _ = call("stats", data, "--bands", "0", "--log1p", "--clip", 0, 900, "--workers", 0)
    assert code == 0 and "1/2048" in out


def test_bands_at_fault_are_one_message(tmp_path: Path, call) -> None:
    data = write_fields(tmp_path / "fields") / "train"
    for words, message in (
        (("stats", data, "--bands", "12"), "0.tif has no band 12: it has 12, from 0 to 11"),
        (("stats", data, "--bands", "B4"), "0.tif has no band called 'B4'"),
        (
            ("stats", data, "--bands", "all", "--clip", 5, 1),
            "clip=(5.0, 1.0): expected (low, high)",
        ),
        (("stats", data, "--bands", "all", "--out", tmp_path / "x.what"), "cannot write"),
        (("check", data, "--fill", 0), "fill is for pixels as they are stored: set bands"),
    ):
        code, _, err = call(*words, "--workers", 0)
        assert code == USER_MISTAKE and message in err
    code, out, err = call("check", data, "--workers", 0)
    assert code == USER_MISTAKE and "bands='all' reads pixels as they are stored" in out


def test_pack_as_stored_keeps_bands(tmp_path: Path, call) -> None:
    data = write_fields(tmp_path / "fields") / "train"
    assert call("pack", data, tmp_path / "packed", "--as-stored", "--workers", 0)[0] == 0
    code, out, _ = call("check", tmp_path / "packed", "--bands", "all", "--workers", 0)
    assert code == 0 and "TIFF uint16, 12 bands: 18" in out


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Train with its third image twice, and val with the first as it is and the second mirrored."""
    monkeypatch.chdir(tmp_path)
    images = [Image.fromarray(image) for image in smooth(5)]
    for split in ("train", "val", "other"):
        (tmp_path / split).mkdir()
    for name, image in zip(("a", "#b", "[c]"), images, strict=False):
        image.save(tmp_path / "train" / f"{name}.png")
    images[2].save(tmp_path / "train" / "d.bmp")
    images[0].save(tmp_path / "val" / "x.bmp")
    images[1].transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "val" / "y.jpg")
    images[3].save(tmp_path / "other" / "z.png")
    return tmp_path


def test_images_that_another_set_has_exit_with_2_and_are_listed(copies: Path, call) -> None:
    code, out, err = call("check", "train", "--against", "val", "--workers", 0)
    assert (
        code == USER_MISTAKE
        and "2 of 2 images of val are in train too, 1 exactly and 1 nearly" in err
    )
    assert 'names_in="duplicates/names.txt"' in err
    assert f"exact 1.000: {copies}/train/a.png  {copies}/val/x.bmp" in out
    assert f"{copies}/train/#b.png  {copies}/val/y.jpg" in out and "mirrored" in out
    assert f"exact 1.000: {copies}/train/d.bmp  {copies}/train/[c].png" in out
    lines = list(csv.DictReader((copies / "duplicates" / "pairs.csv").open()))
    assert [line["kind"] for line in lines] == ["mirrored", "exact", "exact"]
    assert [line["in"] for line in lines] == ["val", "val", "train"]
    assert Image.open(copies / "duplicates" / "pairs.png").width > 500
    kept = open_source("train", names_in="duplicates/names.txt")
    assert [kept.name(index) for index in range(len(kept))] == [f"{copies}/train/[c].png"]


def test_the_list_has_every_name_that_a_list_can_have(copies: Path, call) -> None:
    Image.fromarray(smooth(6)[5]).save(copies / "train" / "two\nlines.png")
    code, out, _ = call("check", "train", "--against", "other", "--workers", 0, "--out", "here")
    assert code == 0, "what is twice in one set is a note"
    assert "itself" in out and "4 of 5 images" in out and not (copies / "duplicates").exists()
    kept = open_source("train", names_in="here/names.txt")
    names = [Path(kept.name(index)).name for index in range(len(kept))]
    assert names == ["#b.png", "[c].png", "a.png"]
    assert not (copies / "here" / "pairs.png").exists(), "equal pixels are no picture"


def test_a_set_against_itself_is_looked_at_once(copies: Path, call) -> None:
    code, out, _ = call("check", "train", "--against", f"{copies}/train", "--workers", 0)
    assert code == 0 and out.count("│ itself") == 1 and out.count("d.bmp") == 1


def test_a_list_without_names_is_not_advised(copies: Path, call) -> None:
    _, _, err = call("check", "val", "--against", "train", "--workers", 0)
    assert "2 of 4 images of train are in val too" in err and "names_in" not in err
    assert "choose others" in err


def test_unreadable_images_are_told_beside_duplicates(copies: Path, call) -> None:
    (copies / "val" / "x.bmp").write_bytes(b"no image")
    (copies / "train" / "a.png").write_bytes(b"no image")
    code, out, err = call("check", "train", "--against", "val", "--workers", 0)
    assert code == USER_MISTAKE
    assert "val/x.bmp cannot be read" in out and "train/a.png cannot be read" in out
    assert "1 of 2 images of val cannot be read and were not compared" in err
    assert "1 of 2 images of val are in train too" in err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--against", "no"), "no data at"),
        (("--against", "val", "--masks", "val"), "takes no --masks"),
        (("--against", "val", "--bands", "all"), "takes no --bands"),
        (("--against", "val", "-o", "split=val"), "takes no -o"),
        (("--against", "val", "--out", "train/a.png"), "train/a.png cannot be written"),
    ],
)
def test_mistakes_with_against_are_one_message(
    copies: Path, call, more: tuple[str, ...], message: str
) -> None:
    code, _, err = call("check", "train", *more)
    assert code == USER_MISTAKE and message in err and "Traceback" not in err


def test_a_constant_band_gives_no_deviation_to_divide_by(tmp_path: Path, call) -> None:
    image = field(0).astype(np.float32)
    image[..., 1] = 0.1
    np.savez(tmp_path / "x.npz", images=image[None])
    code, out, _ = call("stats", tmp_path / "x.npz", "--bands", "0,1", "--workers", 0)
    assert code == 0 and "no two numbers differ in 1: their std is 1 below" in out
    assert out.rstrip().endswith(", 1])")


@pytest.mark.parametrize(
    "command",
    [
        "check {0} --images x",
        "check {0} --ignored 0",
        "check {0} --pixel-values [0]",
        "check {0} --out x",
        "check {0} --fill 0",
        "check {0} --masks {0} --bands all",
        "check {0} --masks {0} -o split=x",
        "check {0} --masks {0} --images x",
        "check {0} --masks {0} --workers 1",
        "check {0} --against {0} --bands all",
        "check {0} --against {0} --fill 0",
        "check {0} --against {0} -o split=x",
        "check {0} --against {0} --ignored 0",
        "check x.json --bands all",
        "check x.json --masks x",
        "check x.json --workers 1",
        "pack {0} packed --as-stored --quality 80",
        "pack {0} packed --as-stored --short-side 80",
        "stats {0} -o group=(.)",
        "bench {0} -o group=(.)",
        "bench {0} -o split=x",
        "convert {0} x.json --from coco --zero-based",
    ],
)
def test_an_option_that_means_nothing_is_refused(data: Path, call, command: str) -> None:
    code, _, err = call(*command.format(data).split())
    assert code == USER_MISTAKE and "error:" in err and "met what" not in err


def test_a_name_in_brackets_is_no_markup(tmp_path: Path, call) -> None:
    data = write_images(tmp_path / "[bold]") / "train"
    code, out, _ = call("check", data, "--workers", 0)
    assert code == 0 and "[bold]" in "".join(out.split())


def test_bench_takes_the_rows_of_a_split(data: Path, call) -> None:
    rows = "".join(f"class-0/{i}.png,{'a' if i else 'b'}\n" for i in range(4))
    (data / "t.csv").write_text(f"img,split\n{rows}")
    chosen = ("-o", "columns.path=img", "-o", "split=a")
    code, out, _ = call("bench", data / "t.csv", "--workers", 0, "--input-size", 12, *chosen)
    assert code == 0 and "images/s" in out
