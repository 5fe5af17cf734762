import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from mae_core import UserError
from mae_core.data.images import ImageDataset, collate_views, reading
from mae_core.data.pack import pack
from mae_core.data.sources import NO_LABEL, Source, data_digest, open_source, opened_once
from mae_core.data.sources.packed_targets import ABOUT, about, target_texts, targets_from
from mae_core.data.sources.table import TableSource
from mae_core.data.sources.target_columns import labels_in_column, labels_in_columns
from mae_core.data.sources.targets import Targets
from mae_core.notices import say
from tests.forms import write_folder, write_tar

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 255, (6, 8, 8, 3), dtype=np.uint8)
TEXTS = ["b10|b9", "", "a", "a|b10|b9", " b9 | a ", "b9"]
MARKS = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0], [0, 1, 0]])
NAMES = ("a", "b9", "b10")
NUMBERS = ["1", "-2.5", "3e2", "0.1", "+7.", ".25"]
CROP = {"input_size": 8, "is_training": True, "color_jitter": None}
LABELS, NUMBER = {"labels": "x"}, {"number": "x"}


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    say.cache_clear()


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


FILES = {f"{i}.png": png(pixels) for i, pixels in enumerate(PIXELS)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images", FILES)


def table(folder: Path, columns: dict[str, list[str]], name: str = "t.csv") -> str:
    """With the images' paths in front; values have no tabs."""
    rows = zip(FILES, *columns.values(), strict=True)
    lines = ["\t".join(["path", *columns]), *map("\t".join, rows)]
    (folder / name).with_suffix(".tsv").write_text("\n".join(lines))
    return str((folder / name).with_suffix(".tsv"))


def parquet(file: Path, columns: dict[str, Any]) -> str:
    rows = [{"bytes": content, "path": None} for content in FILES.values()]
    pq.write_table(pa.table({"image": rows, **columns}), file)
    return str(file)


def targets(data: str, **more: Any) -> Targets:
    source = open_source(data, **more)
    assert source.targets is not None
    assert source.classes == [] and source.labels.tolist() == [NO_LABEL] * len(source)
    assert source.targets.values.dtype == np.float32
    assert source.targets.values.shape == (len(source), len(source.targets.names))
    return source.targets


def check_labels(found: Targets) -> None:
    assert (found.kind, found.names, found.unit) == ("labels", NAMES, "")
    assert np.array_equal(found.values, MARKS)


def forms(folder: Path, kind: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The same images and targets in all forms, with what `open_source` is told of each."""
    texts = TEXTS if kind == "labels" else NUMBERS
    unit = {} if kind == "labels" else {"unit": "mm"}
    found = {"table": (table(folder, {kind: texts}), unit)}
    values = np.array(NUMBERS, dtype=np.float32)
    arrays = {"labels": MARKS, "classes": NAMES} if kind == "labels" else {"numbers": values}
    np.savez(folder.parent / "x.npz", images=PIXELS, **arrays)  # type: ignore[arg-type]
    found["npz"] = (f"{folder.parent}/x.npz", unit)
    lists = [[name.strip() for name in text.split("|") if text] for text in TEXTS]
    column = {"labels": lists} if kind == "labels" else {"number": values}
    found["parquet"] = (parquet(folder.parent / "x.parquet", column), unit)
    found["hub"] = (f"hf:{folder.parent}/rows", unit)
    (folder.parent / "rows").mkdir()
    parquet(folder.parent / "rows" / "train.parquet", column)
    pack(found["table"][0], folder.parent / "packed", workers=0, meaning=unit)
    found["packed"] = (f"{folder.parent}/packed", {})
    return found


@pytest.mark.parametrize("kind", ["labels", "number"])
def test_all_forms_give_the_same_batches(folder: Path, kind: str) -> None:
    batches = {}
    for form, (data, more) in forms(folder, kind).items():
        dataset = ImageDataset(data, CROP, repeats=2, **more)
        assert dataset.targets is not None
        assert dataset.targets.unit == ("mm" if kind == "number" else ""), form
        loader = DataLoader(dataset, 4, sampler=[5, 0, 3, 1], collate_fn=collate_views)
        (batches[form],) = list(loader)
    expected = batches["table"]
    values = MARKS if kind == "labels" else np.array(NUMBERS, dtype=np.float32)[:, None]
    wanted = torch.from_numpy(values[[5, 5, 0, 0, 3, 3, 1, 1]]).float()
    assert torch.equal(expected["label"], wanted) and expected["label"].dtype == torch.float32
    for form, batch in batches.items():
        assert torch.equal(batch["inputs"], expected["inputs"]), form
        assert torch.equal(batch["label"], expected["label"]), form


def test_items_parts_and_workers_have_the_rows_of_their_images(folder: Path) -> None:
    data = table(folder, {"labels": TEXTS})
    dataset = ImageDataset(data, CROP)
    batches = list(DataLoader(dataset, 3, num_workers=2))
    assert np.array_equal(torch.cat([batch["label"] for batch in batches]), MARKS)
    part = dataset.only(np.array([4, 1]))
    assert part.targets is not None and np.array_equal(part.targets.values, MARKS[[4, 1]])
    assert part[0]["label"].tolist() == MARKS[4].tolist() and len(dataset) == 6
    part[0]["label"][:] = 9
    assert part[0]["label"].tolist() == MARKS[4].tolist()
    (folder / "2.png").write_bytes(b"no image")
    item = ImageDataset(data, CROP, skip_unreadable=True)[2]
    assert item["unreadable"] == 2 and item["label"].tolist() == MARKS[3].tolist()


def test_lists_parts_splits_and_groups_choose_rows(folder: Path, tmp_path: Path) -> None:
    columns = {"labels": TEXTS, "split": list("ttttvv"), "group": list("ppqqrr")}
    data = table(folder, columns)
    assert np.array_equal(targets(data, split="v").values, MARKS[4:])
    (tmp_path / "list.txt").write_text("5.png\n0.png")
    assert np.array_equal(targets(data, names_in=f"{tmp_path}/list.txt").values, MARKS[[0, 5]])
    parts = [open_source(data, part=part) for part in ((0, 0.5), (0.5, 1))]
    assert all(part.targets and part.targets.names == NAMES for part in parts)
    assert sorted(len(part) for part in parts) == [2, 4]
    with pytest.raises(
        UserError, match=r"per_class=1 needs one class an image.*have several labels each: take"
    ):
        open_source(data, per_class=1)


def texts_in(folder: Path, values: list[str]) -> Targets:
    return targets(table(folder, {"x": values}), columns=LABELS)


@pytest.mark.parametrize("separator", ["|", ";", ","])
def test_the_separator_is_found_and_said(
    folder: Path, separator: str, caplog: pytest.LogCaptureFixture
) -> None:
    check_labels(texts_in(folder, [text.replace("|", separator) for text in TEXTS]))
    assert f"labels are separated by '{separator}', in 3 rows" in caplog.text


def test_what_is_odd_in_texts_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = texts_in(folder, ["Mass, left|A", "A|A|", "a", "A", "A", "a|A"])
    assert found.names == ("A", "a", "Mass, left")
    assert found.values[1].tolist() == [float(name == "A") for name in found.names]
    for said in (
        "separated by '|', in 3 rows; ',' is part of names",
        "1 places for a label are empty",
        "1 labels stand more than once in a row, and count once",
        "labels that differ in capitals alone are classes of their own: 'A', 'a'",
    ):
        assert said in caplog.text, said


def test_without_a_separator_or_a_label_that_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = texts_in(folder, ["a", "", "b", "a", "", "a"])
    assert found.names == ("a", "b") and found.values.sum() == 4
    assert "no '|', ';', ',' in any row: no image has more than one label" in caplog.text
    source = open_source(table(folder, {"labels": [""] * 6}))
    assert source.targets is None and source.labels.tolist() == [NO_LABEL] * 6
    assert "no row has a label" in caplog.text


@given(
    rows=st.lists(
        st.sets(st.sampled_from(["a b", "c", "10", "9", "é"]), max_size=4), min_size=1, max_size=9
    ).filter(any)
)
@settings(max_examples=40, deadline=None)
def test_lists_texts_and_columns_mean_the_same(rows: list[set[str]]) -> None:
    lists = labels_in_column(pa.array([sorted(row) or None for row in rows]), "x")
    texts = labels_in_column(pa.array(["|".join(row) for row in rows]), "x")
    assert lists is not None and texts is not None and lists.names == texts.names
    assert np.array_equal(lists.values, texts.values)
    for row, marks in zip(rows, lists.values, strict=True):
        assert {name for name, mark in zip(lists.names, marks, strict=True) if mark} == row
    columns = {name: pa.array([name in row for row in rows]) for name in lists.names}
    assert np.array_equal(labels_in_columns(columns, "x").values, lists.values)


def test_a_column_for_each_label_keeps_the_order_given(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = {"b": ["1", "0.0", "TRUE", "no", "Yes", "false"], "a": ["1"] * 6, "c": ["0"] * 6}
    found = targets(table(folder, columns), columns={"labels": ["b", "a", "c"]})
    assert found.names == ("b", "a", "c") and found.values[:, 0].tolist() == [1, 0, 1, 0, 1, 0]
    assert "of 6 images none has the label 'c'" in caplog.text
    assert "of 6 images all have the label 'a'" in caplog.text
    bools: dict[str, Any] = {"b": [True, False] * 3, "a": [1.0, 0.0] * 3}
    rows = parquet(tmp_path / "x.parquet", bools)
    found = targets(rows, columns={"labels": ("b", "a")})
    assert found.values.tolist() == [[1, 1], [0, 0]] * 3


def test_numbers_in_lists_are_labels_with_names_where_these_are_known() -> None:
    lists: list[Any] = [[0, 2], [], None, [2], [0], [0]]
    kind = Sequence(ClassLabel(names=["zebra", "ant", "cow"]))
    features = Features({"image": Value("binary"), "labels": kind})
    columns = {"image": [b"0"] * 6, "labels": lists}
    found = TableSource(Dataset.from_dict(columns, features=features), {"x": 6}).targets
    features["labels"] = Sequence(Value("int64"))
    plain = TableSource(Dataset.from_dict(columns, features=features), {"x": 6}).targets
    assert found is not None and plain is not None
    assert found.names == ("zebra", "ant", "cow") and plain.names == ("0", "1", "2")
    expected = [[1, 0, 1], [0] * 3, [0] * 3, [0, 0, 1], [1, 0, 0], [1, 0, 0]]
    assert found.values.tolist() == plain.values.tolist() == expected


def test_a_single_class_called_labels_is_a_class_as_before(tmp_path: Path) -> None:
    features = Features({"image": Value("binary"), "labels": ClassLabel(names=["b", "a"])})
    rows = Dataset.from_dict({"image": [b"0", b"1"], "labels": [1, 0]}, features=features)
    source = TableSource(rows, {"x": 2})
    assert source.targets is None and source.classes == ["b", "a"]
    assert source.labels.tolist() == [1, 0]
    with pytest.raises(UserError, match=r"one class an image in the column 'labels'.*dict\(label="):
        TableSource(rows, {"x": 2}, columns={"labels": "labels"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0, 1, 0]] * 6, r"the number 0 more than once in row 1: .* goes into columns"),
        ([[-1]] + [[]] * 5, r"1 numbers that are of no label, such as -1 in row 1: .* from 0"),
        ([[1 << 40]] * 6, r"labels for 6 images, at most .* is it a column of labels"),
        ([[0.5]] * 6, r"lists of double: expected lists of names"),
        ([[True]] * 6, r"lists of bool: expected lists of names"),
        ([{"a": 1}] * 6, r"the type struct.*: expected text or numbers"),
    ],
)
def test_lists_at_fault_are_told(tmp_path: Path, values: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"x\.parquet, 'labels' has .*{message}"):
        open_source(parquet(tmp_path / "x.parquet", {"labels": values}))


@pytest.mark.parametrize("kind", [pa.list_(pa.int8(), 2), pa.large_list(pa.uint16())])
def test_lists_of_other_types_and_missing_ones_are_read(kind: pa.DataType) -> None:
    lists = pa.array([[0, 1], None, [1, 2], None, [0, 2], [0, 1]], kind)
    found = labels_in_column(pa.chunked_array([lists[:2], lists[2:]]), "x")
    assert found is not None and found.values.sum(axis=1).tolist() == [2, 0, 2, 0, 2, 2]


def test_numbers_are_exact_and_have_their_unit(folder: Path) -> None:
    found = targets(table(folder, {"age": NUMBERS}), columns={"number": "age"}, unit=" years ")
    assert (found.kind, found.names, found.unit) == ("number", ("age",), "years")
    assert found.values[:, 0].tolist() == [np.float32(value) for value in NUMBERS]


@pytest.mark.parametrize(
    "odd", ["", "nan", "inf", "12 mm", "12,5", "1_0", "1e99", "0x1", "٣", "1" * 5000 + "x"]
)
def test_values_that_are_no_finite_numbers_are_counted_and_shown(folder: Path, odd: str) -> None:
    data = table(folder, {"number": ["1", odd, "2", odd, odd, odd]})
    shown = f"'{odd[:40]}' in row "
    with pytest.raises(UserError, match="4 of 6 values of 'number' are no finite numbers") as error:
        open_source(data)
    assert f"such as {shown}2, {shown}4, {shown}5: write numbers" in str(error.value)


def test_numbers_that_become_equal_or_are_equal_are_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_source(table(folder, {"number": [f"160000000{i}" for i in range(6)]}))
    assert "some numbers of 'number' are equal after rounding to float32" in caplog.text
    open_source(table(folder, {"number": ["2"] * 6}))
    assert "of 6 images all have the number 2" in caplog.text


@pytest.mark.parametrize(
    ("columns", "more", "message"),
    [
        (("label", "labels"), {}, r"'label', 'labels', of which one can be learnt: pick it by col"),
        (("labels", "number"), {}, r"columns=dict\(labels='labels'\) or columns=dict\(number="),
        (("x",), {"columns": {"labels": "x", "number": "x"}}, r"columns names 'labels', 'number'"),
        (("x",), {"columns": {"labels": []}}, r"columns\.labels=\[\]: expected .*list of differ"),
        (("x",), {"columns": {"labels": ["x", "x"]}}, r"expected .*list of different names"),
        (("x",), {"columns": {"label": ["x"]}}, r"columns\.label=\['x'\]: expected the name of a"),
        (("x",), {"columns": {"labels": ["x", "y"]}}, r"no column 'y' \(columns\.labels\)"),
        (("x",), {"columns": {"labels": ["x"]}}, r"\(6 'a'\), the first 'a' in row 1 of 'x'"),
        (("x",), {"unit": "mm"}, r"unit='mm' is of numbers, and .* has none"),
        (("labels",), {"unit": "mm"}, r"unit='mm' is of numbers"),
    ],
)
def test_what_a_config_says_of_columns_is_checked(
    folder: Path, columns: tuple[str, ...], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        open_source(table(folder, {name: ["a"] * 6 for name in columns}), **more)


@pytest.mark.parametrize("unit", [5, " "])
def test_a_unit_is_a_text(folder: Path, unit: Any) -> None:
    with pytest.raises(UserError, match=r"unit=.*: expected a text such as 'years'"):
        open_source(table(folder, {"number": NUMBERS}), unit=unit)


def test_the_one_that_is_named_is_taken_and_the_others_are_said(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = {"label": list("aabbab"), "labels": TEXTS, "number": ["?"] * 6}
    check_labels(targets(table(folder, columns), columns={"labels": "labels"}))
    assert "t.tsv: 'label', 'number' is not read, since columns names" in caplog.text
    rows = parquet(tmp_path / "x.parquet", columns)
    check_labels(targets(rows, columns={"labels": "labels"}))
    assert open_source(rows, columns={"label": "label"}).classes == ["a", "b"]
    with pytest.raises(UserError, match="'label', 'labels', 'number', of which one can be learnt"):
        open_source(rows)


def test_one_table_is_opened_for_each_unit(folder: Path) -> None:
    data = table(folder, {"number": NUMBERS})
    with opened_once():
        assert [targets(data, unit=unit).unit for unit in ("mm", "cm")] == ["mm", "cm"]
    assert reading({"unit": "mm", "columns": {}, "data": data}) == {"unit": "mm", "columns": {}}


def test_a_digest_does_not_ask_what_is_learnt(folder: Path) -> None:
    assert data_digest(table(folder, {"label": ["a"] * 6, "labels": ["a"] * 6}))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": MARKS + 1}, r"'labels' of shape \(6, 3\) that are not 0 and 1"),
        ({"labels": MARKS[:5]}, r"'labels' of shape \(5, 3\) .*expected \(6,\).*or \(6, L\)"),
        ({"labels": MARKS[:, :1]}, r"expected 'classes' \(1,\).*one class an image, .*one axis"),
        ({"labels": MARKS, "classes": ["a", "b"]}, r"expected 'classes' \(3,\), a different name"),
        ({"labels": MARKS, "classes": ["a", "b", "b"]}, "a different name for each"),
        ({"labels": MARKS, "classes": ["a", "b", ""]}, "a different name for each"),
        ({"labels": MARKS[:, :0]}, r"expected 'classes' \(0,\)"),
        ({"numbers": [1, np.nan] * 3}, r"a finite number for each image; 3 are not finite"),
        ({"numbers": [[1.0]] * 6}, r"'numbers' of shape \(6, 1\) .*expected \(6,\)"),
        ({"numbers": ["1"] * 6}, r"'numbers' .*type <U1: expected \(6,\)"),
        ({"numbers": [1] * 6, "labels": [1] * 6}, "has 'labels' and 'numbers': an image has one"),
    ],
)
def test_arrays_at_fault_are_described(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "x.npz", images=PIXELS, **arrays)
    with pytest.raises(UserError, match=message):
        open_source(f"{tmp_path}/x.npz")


def test_arrays_without_names_have_numbers_for_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=MARKS.astype(bool))
    assert targets(f"{tmp_path}/x.npz").names == ("0", "1", "2")


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    names=st.lists(
        st.text('aé|,;\n"', min_size=1, max_size=3), min_size=1, max_size=4, unique=True
    ),
    numbers=st.lists(finite, min_size=1, max_size=5),
    bits=st.integers(0, 2**20),
)
@settings(max_examples=20, deadline=None)
def test_what_is_packed_comes_back(names: list[str], numbers: list[float], bits: int) -> None:
    marks = np.array([[bits >> i & 1 for i in range(len(names))]] * 3, dtype=np.float32)
    number = Targets("number", ("age",), np.array(numbers, np.float32)[:, None], "µm")
    for targets in (Targets("labels", tuple(names), marks), number):
        found = targets_from(about(targets).decode(), target_texts(targets), "x")
        assert (found.kind, found.names, found.unit) == (targets.kind, targets.names, targets.unit)
        assert np.array_equal(found.values, targets.values)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "-"),
        ("[]", "-"),
        ('{"kind": "labels", "names": ["a"]}', "-"),
        ('{"kind": "other", "names": ["a"], "unit": ""}', "-"),
        ('{"kind": "labels", "names": [], "unit": ""}', "-"),
        ('{"kind": "labels", "names": ["a", "a"], "unit": ""}', "-"),
        ('{"kind": "labels", "names": [["a"]], "unit": ""}', "-"),
        ('{"kind": "labels", "names": 5, "unit": ""}', "-"),
        ('{"kind": "number", "names": ["a", "b"], "unit": ""}', "1"),
        ('{"kind": "labels", "names": ["a"], "unit": ""}', "1"),
        ('{"kind": "labels", "names": ["a"], "unit": ""}', "-1"),
        ('{"kind": "labels", "names": ["a"], "unit": ""}', ""),
        ('{"kind": "number", "names": ["a"], "unit": ""}', "nan"),
        ('{"kind": "number", "names": ["a"], "unit": ""}', ""),
        ("[" * 100_000, "-"),
    ],
)
def test_shards_at_fault_are_told(tmp_path: Path, content: str, text: str) -> None:
    members = {ABOUT: content.encode(), "0.png": FILES["0.png"], "0.target": text.encode()}
    with pytest.raises(UserError, match=r"not as mae-bench data pack writes them .*pack .* anew"):
        open_source(str(write_tar(tmp_path / "x.tar", members)))


def test_shards_that_differ_are_refused_and_foreign_files_mean_nothing(tmp_path: Path) -> None:
    first = {ABOUT: about(Targets("labels", ("a",), MARKS)), "0.target": b"0"}
    write_tar(tmp_path / "in" / "0.tar", {**first, "0.png": FILES["0.png"]})
    write_tar(tmp_path / "in" / "1.tar", {"1.png": FILES["1.png"], "1.target": b"\xff"})
    with pytest.raises(UserError, match=r"in holds shards that differ in what their images are"):
        open_source(f"{tmp_path}/in")
    assert open_source(f"{tmp_path}/in/1.tar").targets is None
    assert targets(f"{tmp_path}/in/0.tar").values.tolist() == [[1]]


def test_packing_keeps_rows_of_the_readable_in_every_shard(folder: Path, tmp_path: Path) -> None:
    (folder / "2.png").write_bytes(b"no image")
    noise = RNG.integers(0, 255, (700, 700, 3), dtype=np.uint8)
    for number in (0, 3):
        Image.fromarray(noise).save(folder / f"{number}.png")
    data = table(folder, {"labels": TEXTS})
    packed = pack(data, tmp_path / "out", 700, shard_mb=1, workers=0)
    assert packed.shards > 1 and packed.images == 5
    found = targets(f"{tmp_path}/out")
    assert found.names == NAMES and np.array_equal(found.values, MARKS[[0, 1, 3, 4, 5]])
    kept = open_source(f"{tmp_path}/out")
    assert [kept.name(i).rpartition("/")[2] for i in (0, 4)] == ["000000000.png", "000000005.png"]


def test_rows_that_come_again_with_other_labels_are_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "t.csv").write_text("path,labels\n0.png,a;b\n0.png,b;a\n0.png,b\n")
    source: Source = open_source(f"{folder}/t.csv")
    assert source.targets is not None and source.targets.values.tolist() == [[1, 1]] * 2 + [[0, 1]]
    assert "2 rows name an image that a row before names, 1 of them with another" in caplog.text
