import os
import pickle
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub.constants
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from mae_core import UserError
from mae_core.data.decode import Unreadable
from mae_core.data.sources.base import NO_LABEL
from mae_core.data.sources.table import (
    TableSource,
    hugging_face_digest,
    hugging_face_source,
    parquet_source,
)
from tests.forms import some_images, write_folder, write_parquet

IMAGES = some_images()
STRUCTS = [{"bytes": content, "path": None} for content in IMAGES.values()]


def sequence(source: TableSource) -> list[bytes]:
    return [source.read(i) for i in range(len(source))]


def typed(names: list[str], labels: list[int]) -> Dataset:
    features = Features({"image": Image(), "label": ClassLabel(names=names)})
    return Dataset.from_dict({"image": STRUCTS, "label": labels}, features=features)


def parquet(folder: Path, columns: dict[str, Any]) -> list[Path]:
    pq.write_table(pa.table(columns), folder / "x.parquet")
    return [folder / "x.parquet"]


def two_splits(folder: Path) -> str:
    (folder / "rows").mkdir()
    pq.write_table(pa.table({"image": [b"0", b"1"]}), folder / "rows" / "train.parquet")
    pq.write_table(pa.table({"image": [b"2"]}), folder / "rows" / "test.parquet")
    return f"hf:{folder}/rows"


def test_images_come_undecoded_in_the_order_of_rows_and_files(tmp_path: Path) -> None:
    files = sorted(write_parquet(tmp_path / "[shards]*", IMAGES).iterdir())
    source = parquet_source(files)
    assert sequence(source) == list(IMAGES.values())
    assert source.classes == ["c8", "c9", "c10"]
    assert source.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert [source.name(i) for i in (0, 5, 6, 11)] == [
        f"{files[0]}/0",
        f"{files[0]}/5",
        f"{files[1]}/0",
        f"{files[1]}/5",
    ]


def test_class_names_come_from_the_features(tmp_path: Path) -> None:
    typed(["zebra", "ant", "cow"], [0, 1, 2, -1] * 3).to_parquet(str(tmp_path / "x.parquet"))
    source = parquet_source([tmp_path / "x.parquet"])
    assert sequence(source) == list(IMAGES.values())
    assert source.classes == ["zebra", "ant", "cow"]
    assert source.labels.tolist() == [0, 1, 2, NO_LABEL] * 3


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (None, [], [NO_LABEL] * 3),
        ([2, None, 0], ["0", "1", "2"], [2, NO_LABEL, 0]),
        (["b", None, "a"], ["a", "b"], [1, NO_LABEL, 0]),
    ],
)
def test_labels_may_be_numbers_names_or_missing(
    tmp_path: Path, labels: Any, classes: list[str], expected: list[int]
) -> None:
    columns = {"image": [b"0", b"1", b"2"]} | ({"label": labels} if labels else {})
    source = parquet_source(parquet(tmp_path, columns))
    assert (source.classes, source.labels.tolist()) == (classes, expected)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"cls": Value("int64")}, [1, 0]),
        ({"kind": ClassLabel(names=["a", "b"])}, [1, 0]),
        ({"kind": ClassLabel(2), "other": ClassLabel(2)}, [NO_LABEL] * 2),
        ({"kind": Value("int64")}, [NO_LABEL] * 2),
        ({"kind": ClassLabel(2), "label": Value("int64")}, [1, 0]),
    ],
)
def test_which_column_is_the_label(kinds: dict[str, Any], expected: list[int]) -> None:
    columns = {"image": [b"0", b"1"], **{name: [1, 0] for name in kinds}}
    features = Features({"image": Value("binary"), **kinds})
    source = TableSource(Dataset.from_dict(columns, features=features), {"x": 2})
    assert source.labels.tolist() == expected


def test_plain_bytes_are_images_and_an_empty_row_is_empty(tmp_path: Path) -> None:
    source = parquet_source(parquet(tmp_path, {"jpg": [b"0", None, b"2"], "url": ["a", "b", "c"]}))
    assert sequence(source) == [b"0", b"", b"2"]


def test_a_pickled_source_holds_no_images(tmp_path: Path) -> None:
    rows = [np.random.default_rng(i).bytes(10_000) for i in range(50)]
    source = parquet_source(parquet(tmp_path, {"image": rows}))
    stored = pickle.dumps(source)
    assert len(stored) < 10_000
    assert sequence(pickle.loads(stored)) == rows


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"url": ["a"]}, r"0 columns that may be images, of url"),
        ({"a": [b"1"], "b": [b"2"]}, r"2 columns that may be images, of a, b"),
        ({"image": [b"1"], "label": [0.5]}, r"labels of type double: expected integers or str"),
        ({"image": [b"1"], "label": [1 << 40]}, r"the label 1099511627776"),
        ({"image": pa.array([], pa.binary())}, r"has no rows"),
    ],
)
def test_columns_at_fault_are_described(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path}/x\.parquet .*{message}"):
        parquet_source(parquet(tmp_path, columns))


@pytest.mark.parametrize("damage", ["cut off", "text", "empty"])
def test_a_broken_parquet_is_named(tmp_path: Path, damage: str) -> None:
    files = sorted(write_parquet(tmp_path / "shards", IMAGES).iterdir())
    content = files[1].read_bytes()
    kept = {"cut off": content[:-100], "text": b"no parquet", "empty": b""}[damage]
    files[1].write_bytes(kept)
    with pytest.raises(UserError, match=rf"{files[1]} cannot be read as parquet .*make it anew"):
        parquet_source(files)


def test_broken_pages_are_noticed(tmp_path: Path) -> None:
    file = parquet(tmp_path, {"image": [bytes(range(200))] * 50})[0]
    content = bytearray(file.read_bytes())
    content[4:60] = b"\xff" * 56
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"{file} cannot be read as one parquet table"):
        parquet_source([file])


def test_shards_of_different_columns_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"1"]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"photo": [b"1"]}), tmp_path / "1.parquet")
    with pytest.raises(UserError, match=f"{tmp_path} cannot be read as one parquet table"):
        parquet_source([tmp_path / "0.parquet", tmp_path / "1.parquet"])


@pytest.mark.parametrize("form", ["parquet", "saved", "saved splits", "images"])
def test_a_local_folder_is_a_hugging_face_data_set(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "folder"
    table = typed(["c8", "c9", "c10"], [0] * 4 + [1] * 4 + [2] * 4)
    if form == "parquet":
        table.to_parquet(str(folder / "train-0-of-1.parquet"))
    elif form == "saved":
        table.save_to_disk(str(folder))
    elif form == "saved splits":
        DatasetDict({"train": table, "test": table.select([0])}).save_to_disk(str(folder))
    else:
        write_folder(folder / "train", IMAGES)
    source = hugging_face_source(f"hf:{folder}")
    assert sorted(sequence(source)) == sorted(IMAGES.values())
    assert sorted(source.classes) == ["c10", "c8", "c9"]
    assert np.bincount(source.labels).tolist() == [4, 4, 4]
    assert source.name(3) == f"hf:{folder}/3"


def test_a_split_or_a_slice_may_be_named(tmp_path: Path) -> None:
    data = two_splits(tmp_path)
    assert sequence(hugging_face_source(data)) == [b"0", b"1"]
    assert sequence(hugging_face_source(f"{data}:test")) == [b"2"]
    assert sequence(hugging_face_source(f"{data}:train[1:]")) == [b"1"]
    with pytest.raises(UserError, match=r'cannot be loaded \(ValueError: Unknown split "val"'):
        hugging_face_source(f"{data}:val")


def test_an_unknown_split_of_a_saved_data_set_is_named(tmp_path: Path) -> None:
    typed(["a"], [0] * 12).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(UserError, match=r"no split 'val', it has train"):
        hugging_face_source(f"hf:{tmp_path}/saved:val")


def test_the_digest_follows_content_and_split(tmp_path: Path) -> None:
    data = two_splits(tmp_path)
    first = hugging_face_digest(data)
    assert hugging_face_digest(data) == first != hugging_face_digest(f"{data}:test")
    pq.write_table(pa.table({"image": [b"0", b"3"]}), tmp_path / "rows" / "train.parquet")
    assert hugging_face_digest(data) != first


@pytest.mark.parametrize("name", ["nobody/nothing", "/no/folder", "a/b/c", ""])
def test_a_name_that_leads_nowhere_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=rf"'{name}'.*HF_HUB_OFFLINE|hf:{name} cannot be loaded"):
        hugging_face_source(f"hf:{name}")


def test_offline_only_the_cache_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"hf:nobody/nothing cannot be loaded .*[Oo]ffline"):
        hugging_face_source("hf:nobody/nothing")


def test_a_shard_without_rows_is_passed_over(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"image": [b"1"]}), tmp_path / "1.parquet")
    source = parquet_source([tmp_path / "0.parquet", tmp_path / "1.parquet"])
    assert source.name(0) == f"{tmp_path}/1.parquet/0"


def test_string_paths_are_no_images() -> None:
    table = Dataset.from_dict({"file": ["a.jpg"]}, features=Features({"file": Value("string")}))
    with pytest.raises(UserError, match="0 columns that may be images"):
        TableSource(table, {"x": 1})


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/dev/zero", "../../../../etc/passwd", "pipe", "linked", ".", "a\0b"]
)
def test_a_table_names_no_file_outside_of_its_folder(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "linked").symlink_to("/etc/passwd")
    source = parquet_source(parquet(tmp_path, {"image": named([path])}))
    with pytest.raises(Unreadable, match=r"x\.parquet/0 cannot be read as an image \("):
        source.read(0)


def test_a_table_may_name_files_beside_it(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", {"a.jpg": b"1"})
    paths = ["photos/a.jpg", str(tmp_path / "photos" / "a.jpg")]
    source = parquet_source(parquet(tmp_path, {"image": named(paths)}))
    assert sequence(source) == [b"1", b"1"]


def named(paths: list[str]) -> pa.Array:
    """Rows with a file's name in place of its content."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([{"bytes": None, "path": path} for path in paths], type=kind)
