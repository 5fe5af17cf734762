import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mae_core import UserError
from mae_core.data.pack import pack
from mae_core.data.sources import Source, data_digest, listed_in, open_source
from mae_core.notices import say
from tests.forms import some_images, write_folder, write_parquet

IMAGES = some_images(classes=2, each=3)
NAMES = list(IMAGES)


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    say.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images", IMAGES)


def table(folder: Path, content: str | bytes, name: str = "labels.csv") -> str:
    text = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(text)
    return str(folder / name)


def names(source: Source, folder: Path) -> list[str]:
    return [source.name(i).removeprefix(f"{folder}/") for i in range(len(source))]


def test_rows_give_images_labels_and_groups_in_their_order(folder: Path) -> None:
    rows = f"path,label,group\n{NAMES[4]},dog,p10\n{NAMES[0]},cat,p2\n{NAMES[2]},,\n"
    source = open_source(table(folder, rows))
    assert names(source, folder) == [NAMES[4], NAMES[0], NAMES[2]]
    assert [source.read(i) for i in range(3)] == [IMAGES[NAMES[i]] for i in (4, 0, 2)]
    assert source.classes == ["cat", "dog"] and source.labels.tolist() == [1, 0, -1]
    assert source.groups is not None
    assert [source.groups.names[i] for i in source.groups.of] == ["p10", "p2", ""]


@pytest.mark.parametrize(
    "content",
    [
        f"path,label\n{NAMES[0]},cat\n{NAMES[1]},007\n",
        f"\ufeffPath;Label\r\n\r\n {NAMES[0]} ; cat\r\n{NAMES[1]};007 \r\n\r\n",
        f'"file name","label"\n"{NAMES[0]}","cat"\n{NAMES[1]}, "007"\n'.replace("e name", "ename"),
        f"id\tpath\tlabel\n1\t{NAMES[0]}\tcat\n2\t{NAMES[1]}\t007\n".encode("utf-16"),
        f"path,label\rX/../{NAMES[0]},cat\r./{NAMES[1]},007".replace("/", "\\"),
    ],
    ids=["plain", "excel", "quoted", "utf-16", "windows"],
)
def test_tables_of_all_sorts_are_the_same(folder: Path, content: str | bytes) -> None:
    source = open_source(table(folder, content))
    assert names(source, folder) == NAMES[:2]
    assert [source.classes[label] for label in source.labels] == ["cat", "007"]


def test_latin_1_is_read_and_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "grün.jpg").write_bytes(b"")
    source = open_source(table(folder, "path,label\ngrün.jpg,Käfer\n".encode("latin-1")))
    assert names(source, folder) == ["grün.jpg"] and source.classes == ["Käfer"]
    assert "no UTF-8 and read as Latin-1" in caplog.text


def test_values_are_text_whatever_they_look_like(folder: Path) -> None:
    labels = ["NA", "01", "", "true", "1e5", "null"]
    rows = "".join(f"{name},{label}\n" for name, label in zip(NAMES, labels, strict=True))
    source = open_source(table(folder, f"path,label\n{rows}"))
    found = ["" if label < 0 else source.classes[label] for label in source.labels]
    assert found == labels


def test_a_split_picks_rows_and_keeps_classes(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = f"path,label,split\n{NAMES[0]},a,train\n{NAMES[1]},b,val\nnot-there.jpg,c,test\n"
    data = table(folder, rows)
    train, val = (open_source(data, split=split) for split in ("train", "val"))
    assert names(train, folder) == NAMES[:1] and names(val, folder) == NAMES[1:2]
    assert train.classes == val.classes == ["a", "b", "c"] and val.labels.tolist() == [1]
    with pytest.raises(UserError, match=r"no rows of the split 'dev'; it has 1 test, 1 train, 1 v"):
        open_source(data, split="dev")
    with pytest.raises(UserError, match=r"1 of 3 files are not there, such as not-there\.jpg"):
        open_source(data)
    assert "the rows of all splits are taken (1 test, 1 train, 1 val)" in caplog.text


def test_folds_are_splits_by_their_numbers(folder: Path) -> None:
    data = table(folder, f"path,fold\n{NAMES[0]},0\n{NAMES[1]},1\n")
    source = open_source(data, split=1, columns={"split": "fold"})  # type: ignore[arg-type]
    assert names(source, folder) == NAMES[1:2]


def test_columns_can_be_named(folder: Path) -> None:
    data = table(folder, f"img,path,dx,patient\n{NAMES[0]},x,cat,p1\n{NAMES[1]},y,dog,p1\n")
    columns = {"path": "img", "label": "dx", "group": "patient"}
    source = open_source(data, columns=columns)
    assert names(source, folder) == NAMES[:2] and source.classes == ["cat", "dog"]
    assert source.groups is not None and source.groups.of.tolist() == [0, 0]


def test_paths_are_below_the_root_that_is_named(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "lab"
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(folder)
    rows = f"path\n{NAMES[0]}\n{tmp_path}/link/{NAMES[1]}\n{folder}/{NAMES[2]}\n"
    source = open_source(table(elsewhere, rows), root=str(tmp_path / "link"))
    assert names(source, folder) == NAMES[:3]
    assert source.read(1) == IMAGES[NAMES[1]]


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/passwd", "c8/../../secret.jpg", "..\\x"])
def test_a_path_that_leaves_the_folder_is_refused(folder: Path, path: str) -> None:
    (folder.parent / "secret.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"names 1 files that are not below .*root='\.\.\.'"):
        open_source(table(folder, f"path\n{NAMES[0]}\n{path}\n"))


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("c8/0.jpg,cat\n", {}, r"no column 'path'.*, by its first line .*'c8/0\.jpg', 'cat'"),
        ("", {}, "is empty: expected a first line that names the columns"),
        ("path|label\nc8/0.jpg|cat\n", {}, "is split at commas, semicolons or tabs"),
        ("path,label\n", {}, "has no rows"),
        ("path,label\nc8/0.jpg\n", {}, r"2 columns by its first.*row 1 has 1 columns: c8/0\.jpg"),
        ('path,label\n"c8/0.jpg,cat\nc8/3.jpg,cat\n', {}, "other numbers of them in 1 rows"),
        ("path,label\n,cat\n", {}, r"1 rows without a path, such as row 1"),
        ("path,image\nx,y\n", {}, r"'path', 'image', which may all be the path: name one"),
        ("path,path\nx,y\n", {}, "has the column 'path' more than once: rename or delete"),
        ("path\nc8/1.jpg\n", {}, r"1 of 1 files are not there, such as c8/1\.jpg: .*root="),
        ("path\nc8/0.jpg\n", {"columns": {"label": "x"}}, r"no column 'x' \(columns\.label\)"),
        ("path\nc8/0.jpg\n", {"columns": {"lable": "x"}}, "key 'lable': did you mean 'label'"),
        ("path\nc8/0.jpg\n", {"columns": "path"}, r"columns='path': expected dict\(path="),
        ("path\nc8/0.jpg\n", {"split": "train"}, "has no column 'split'"),
        ("path\nc8/0.jpg\n", {"root": "/nowhere"}, "no data folder at /nowhere"),
        ("path\nc8/0.jpg\n", {"group": "("}, r"group='\(' is no regular expression"),
        ("path\nc8/0.jpg\n", {"group": "x"}, r"group='x' finds nothing in the names of 1 of 1"),
        ("path,label\nc8/0.jpg,1\nc8/3.jpg,1.0\n", {}, "'1' and '1.0', one number and two classes"),
        ("\0path", {}, "is no text"),
    ],
)
def test_a_table_at_fault_is_told(
    folder: Path, content: str, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        open_source(table(folder, content), **more)


def test_what_is_of_tables_is_refused_elsewhere(folder: Path) -> None:
    for more in ({"split": "train"}, {"root": "/"}, {"columns": {"path": "x"}}):
        with pytest.raises(UserError, match=r"is of tables, and .*images is none"):
            open_source(str(folder), **more)  # type: ignore[arg-type]


def test_rows_that_come_again_are_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = f"path,label\n{NAMES[0]},a\n{NAMES[0]},a\n./{NAMES[0]},A\n"
    assert len(open_source(table(folder, rows))) == 3
    assert "2 rows name an image that a row before names, 1 of them with another" in caplog.text
    assert "labels that differ in capitals alone" in caplog.text


def test_parquet_with_paths_is_a_table_and_with_bytes_it_is_as_before(
    folder: Path, tmp_path: Path
) -> None:
    rows = {
        "image": NAMES[:3],
        "label": pa.array([2, None, 1]),
        "group": pa.array(["b", "a", "a"]).dictionary_encode(),
    }
    pq.write_table(pa.table(rows), folder / "x.parquet")
    source = open_source(str(folder / "x.parquet"))
    assert names(source, folder) == NAMES[:3] and source.classes == ["1", "2"]
    assert source.labels.tolist() == [1, -1, 0]
    assert source.groups is not None and source.groups.of.tolist() == [1, 0, 0]
    packed = write_parquet(tmp_path / "rows", IMAGES, count=1) / "0.parquet"
    content = pq.read_table(packed).append_column("group", pa.array(list("aabbcc")))
    pq.write_table(content.append_column("split", pa.array(["t", "v"] * 3)), packed)
    assert open_source(str(packed)).groups is None
    chosen = open_source(str(packed), columns={"group": "group"}, split="v")
    assert [chosen.read(i) for i in range(3)] == [IMAGES[name] for name in NAMES[1::2]]
    assert chosen.groups is not None and chosen.groups.of.tolist() == [0, 1, 2]


def test_the_digest_covers_the_table_and_the_images_that_it_names(folder: Path) -> None:
    def digest() -> str:
        from mae_core.data.roots import path_digest

        path_digest.cache_clear()
        return data_digest(data, {"path": "img"})

    data = table(folder, f"img\n{NAMES[0]}\n{NAMES[1]}\n")
    first = digest()
    (folder / NAMES[3]).write_bytes(b"another")
    assert digest() == first
    (folder / NAMES[1]).write_bytes(b"another")
    second = digest()
    table(folder, f"img\n{NAMES[1]}\n{NAMES[0]}\n")
    assert len({first, second, digest()}) == 3


def test_lists_and_parts_take_rows(folder: Path, tmp_path: Path) -> None:
    rows = "".join(f"{name},{name[:2]}\n" for name in reversed(NAMES))
    data = table(folder, f"path,label\n{rows}")
    (tmp_path / "list.txt").write_text("\n".join(NAMES[:2]))
    source = open_source(data, names_in=str(tmp_path / "list.txt"))
    assert names(source, folder) == NAMES[1::-1]
    assert listed_in(open_source(data), data, str(tmp_path / "list.txt")).tolist() == [4, 5]
    assert len(open_source(data, part=(0, 0.5))) == 3
    assert np.bincount(open_source(data, per_class=2).labels).tolist() == [2, 2]


def test_a_packed_table_has_its_images_and_labels(folder: Path, tmp_path: Path) -> None:
    data = table(folder, f"path,label\n{NAMES[5]},1\n{NAMES[0]},10\n{NAMES[1]},2\n")
    pack(data, tmp_path / "packed", workers=0)
    whole, packed = open_source(data), open_source(str(tmp_path / "packed"))
    assert [packed.read(i) for i in range(3)] == [whole.read(i) for i in range(3)]
    assert packed.labels.tolist() == whole.labels.tolist() == [0, 2, 1]


def test_a_table_of_another_folder_is_found_from_anywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(folder, f"path\n{NAMES[0]}\n")
    monkeypatch.setenv("MAE_BENCH_DATA", str(folder.parent))
    assert os.path.isfile(open_source("images/labels.csv").name(0))


def test_a_list_takes_all_rows_of_an_image(folder: Path, tmp_path: Path) -> None:
    rows = f"path,label\n{NAMES[0]},a\n{NAMES[1]},a\n{NAMES[0]},b\n"
    (tmp_path / "list.txt").write_text(NAMES[0])
    source = open_source(table(folder, rows), names_in=str(tmp_path / "list.txt"))
    assert source.labels.tolist() == [0, 1]


def test_splits_that_differ_in_capitals_are_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = f"path,split\n{NAMES[0]},train\n{NAMES[1]}, Train\n{NAMES[2]},val \n"
    assert len(open_source(table(folder, rows), split="train")) == 1
    assert "'Train' differ from the split 'train' in capitals alone" in caplog.text


@pytest.mark.parametrize("split", [0, "", "train"])
def test_a_folder_has_no_split(folder: Path, split: Any) -> None:
    with pytest.raises(UserError, match="is of tables"):
        open_source(str(folder), split=split)
