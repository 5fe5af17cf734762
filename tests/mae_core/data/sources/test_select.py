from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mae_core import UserError
from mae_core.data.sources import NO_LABEL, Source, open_source
from mae_core.data.sources.select import balanced, share
from tests.forms import some_images, write_folder, write_shards


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(write_folder(tmp_path / "images", some_images()))


def names(source: Source) -> list[str]:
    return [source.name(i).split("images/")[1] for i in range(len(source))]


def listing(tmp_path: Path, text: str) -> str:
    (tmp_path / "list.txt").write_text(text)
    return str(tmp_path / "list.txt")


def test_a_list_chooses_in_the_order_of_the_source(tmp_path: Path, folder: str) -> None:
    text = f"# mine\n\nc10/0.jpg\n  c8/3.jpg\n{folder}/c8/0.jpg\nc8/3.jpg\n"
    source = open_source(folder, names_in=listing(tmp_path, text))
    assert names(source) == ["c8/0.jpg", "c8/3.jpg", "c10/0.jpg"]
    assert source.classes == ["c8", "c9", "c10"]
    assert source.labels.tolist() == [0, 0, 2]
    assert source.read(2) == some_images()["c10/0.jpg"]


def test_what_a_source_calls_its_images_is_what_a_list_takes(tmp_path: Path) -> None:
    shards = str(write_shards(tmp_path / "images", some_images()))
    whole = open_source(shards)
    wanted = [whole.name(i) for i in (1, 4, 7)]
    for lines in (wanted, [name.removeprefix(f"{shards}/") for name in wanted]):
        source = open_source(shards, names_in=listing(tmp_path, "\n".join(lines)))
        assert [source.name(i) for i in range(3)] == wanted


def test_a_list_of_files_alone_is_taken_as_simclrs_is(tmp_path: Path) -> None:
    """In any order, as google-research/simclr's imagenet_subsets/1percent.txt begins."""
    lines = ["n04235860_14959.JPEG", "n04239074_7724.JPEG", "n02096294_8485.JPEG"]
    content = {f"{line.partition('_')[0]}/{line}": b"" for line in lines}
    others = {"n02096294/n02096294_1.JPEG": b"", "n04239074/n04239074_77.JPEG": b""}
    folder = str(write_folder(tmp_path / "images", {**content, **others}))
    source = open_source(folder, names_in=listing(tmp_path, "\n".join(lines) + "\n"))
    assert sorted(names(source)) == sorted(content)
    assert np.bincount(source.labels).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.jpg\n", r"line 1: several images of .*images are called '0\.jpg': name their folder"),
        ("c8/0.jpg\n77.jpg\n", r"line 2: .*no image '77\.jpg'"),
        ("PK\0\1", r"list\.txt is no text"),
        ("c8/0.jpg\n#\nc8/1.jpg\n", r"list\.txt, line 3: .*images has no image 'c8/1\.jpg'.*c8/0"),
        ("# nothing\n\n", r"list\.txt names no images"),
        (None, r"nolist\.txt cannot be read: No such file"),
    ],
)
def test_a_list_at_fault_is_named(
    tmp_path: Path, folder: str, text: str | None, message: str
) -> None:
    names_in = listing(tmp_path, text) if text else str(tmp_path / "nolist.txt")
    with pytest.raises(UserError, match=message):
        open_source(folder, names_in=names_in)


def test_parts_keep_order_and_classes_and_follow_the_seed(folder: str) -> None:
    whole = names(open_source(folder))
    train = open_source(folder, part=(0.0, 0.75), seed=1)
    val = open_source(folder, part=(0.75, 1.0), seed=1)
    assert sorted(names(train) + names(val), key=whole.index) == whole
    assert names(train) == sorted(names(train), key=whole.index)
    assert train.classes == val.classes == ["c8", "c9", "c10"]
    assert names(open_source(folder, part=(0.75, 1.0), seed=2)) != names(val)


@given(
    count=st.integers(1, 60),
    bounds=st.lists(st.floats(0, 1), max_size=5),
    seed=st.integers(0, 2**32),
)
def test_parts_are_disjoint_and_complete(count: int, bounds: list[float], seed: int) -> None:
    edges = sorted({0.0, *bounds, 1.0})
    found: list[int] = []
    for first, last in pairwise(edges):
        if round(count * first) != round(count * last):
            part = share(count, (first, last), seed)
            assert abs(len(part) - count * (last - first)) <= 1
            found.extend(part)
    assert sorted(found) == list(range(count))


@pytest.mark.parametrize(
    "part", [(0.5, 0.5), (0.9, 0.1), (-0.1, 1), (0, 1.5), (0.5,), (0, 0.01), 0.9, "ab"]
)
def test_a_part_at_fault_is_refused(folder: str, part: Any) -> None:
    with pytest.raises(UserError, match=r"part="):
        open_source(folder, part=part)


def test_a_subset_follows_its_seed(folder: str) -> None:
    first, again, other = (names(open_source(folder, per_class=2, seed=s)) for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_choice_of_each_class_has_a_seed_beside_that_of_the_order(folder: str) -> None:
    parts = [names(open_source(folder, part=(0, 0.8)))]
    subsets = [
        names(open_source(folder, part=(0, 0.8), per_class=2, per_class_seed=seed))
        for seed in range(6)
    ]
    assert len({tuple(subset) for subset in subsets}) > 1
    assert all(set(subset) <= set(parts[0]) for subset in subsets)
    assert subsets[0] == names(open_source(folder, part=(0, 0.8), per_class=2))


def test_the_subset_is_taken_from_the_part_and_the_part_from_the_list(
    tmp_path: Path, folder: str
) -> None:
    listed = [name for name in some_images() if not name.startswith("c9")]
    names_in = listing(tmp_path, "\n".join(listed))
    source = open_source(folder, names_in=names_in, part=(0, 0.9), per_class=2)
    part = names(open_source(folder, names_in=names_in, part=(0, 0.9)))
    assert set(names(source)) < set(part) < set(listed)
    assert Counter(source.labels.tolist()) == {0: 2, 2: 2}


def test_too_few_images_for_a_subset_name_the_class(folder: str) -> None:
    with pytest.raises(UserError, match="c8 has 4 images, per_class asks for 5"):
        open_source(folder, per_class=5)


def test_a_subset_of_each_class_needs_labels(tmp_path: Path) -> None:
    flat = str(write_folder(tmp_path, {"a.jpg": b""}))
    with pytest.raises(UserError, match=r"per_class=1: expected .* images with labels"):
        open_source(flat, per_class=1)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_a_subset_is_balanced_and_without_repeats(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    labels = np.repeat(np.arange(-1, len(sizes)), [3, *sizes])
    count = data.draw(st.integers(1, min(sizes)))
    chosen = balanced(labels, [str(i) for i in range(len(sizes))], count, seed)
    assert Counter(labels[chosen].tolist()) == dict.fromkeys(range(len(sizes)), count)
    assert NO_LABEL not in labels[chosen]
    assert sorted(set(chosen)) == chosen.tolist()
