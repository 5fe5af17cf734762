from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mae_core import UserError
from mae_core.data.sources import open_source
from mae_core.data.sources.groups import groups_by_name, groups_by_pattern, whole_groups
from mae_core.data.sources.select import share
from tests.forms import write_folder


@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 3)), min_size=1, max_size=60),
    edges=st.lists(st.floats(0, 1), max_size=4),
    seed=st.integers(0, 2**32),
)
def test_parts_that_meet_share_no_group_and_leave_none_out(
    rows: list[tuple[int, int]], edges: list[float], seed: int
) -> None:
    groups = groups_by_name([f"p{group}" for group, _ in rows])
    labels = np.array([label for _, label in rows])
    bounds = sorted({0.0, *edges, 1.0})
    parts = [whole_groups(groups, labels, pair, seed) for pair in pairwise(bounds)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
    owners = [set(groups.of[part].tolist()) for part in parts]
    assert sum(map(len, owners)) == len(set(groups.of.tolist()))


@settings(max_examples=30)
@given(each=st.integers(1, 6), seed=st.integers(0, 2**32), part=st.floats(0.1, 0.9))
def test_a_part_has_its_share_of_each_class_up_to_a_group(
    each: int, seed: int, part: float
) -> None:
    labels = np.repeat(np.arange(3), [40 * each, 20 * each, 10 * each])
    groups = groups_by_name([str(number) for number in np.arange(len(labels)) // each])
    chosen = whole_groups(groups, labels, (0.0, part), seed)
    counts = np.bincount(labels[chosen], minlength=3) / each
    assert (abs(counts - np.array([40, 20, 10]) * part) <= 1 + 1e-9).all()


def test_over_seeds_a_part_of_uneven_groups_has_its_share_of_images() -> None:
    sizes = [1, 2, 3, 10, 20]
    groups = groups_by_name([str(g) for g, size in enumerate(sizes) for _ in range(size)])
    labels = np.zeros(36, dtype=np.int64)
    found = [len(whole_groups(groups, labels, (0.7, 1.0), seed)) for seed in range(600)]
    assert np.mean(found) / 36 == pytest.approx(0.3, abs=0.03)


def test_a_pattern_finds_groups_in_names(tmp_path: Path) -> None:
    names = [f"{kind}/patient{number}_{i}.jpg" for kind in "ab" for number in (2, 10) for i in "xy"]
    data = str(write_folder(tmp_path / "images", dict.fromkeys(names, b"")))
    whole = open_source(data, group=r"(patient\d+)_")
    assert whole.groups is not None and whole.groups.names == ["patient2", "patient10"]
    train = open_source(data, group=r"(patient\d+)_", part=(0, 0.5))
    val = open_source(data, group=r"(patient\d+)_", part=(0.5, 1))
    assert train.groups and val.groups
    assert not train.groups.present() & val.groups.present()
    assert len(train) + len(val) == 8


def test_without_groups_the_choice_is_the_seeded_order(tmp_path: Path) -> None:
    data = str(write_folder(tmp_path / "x", {f"{i}.jpg": b"" for i in range(20)}))
    source = open_source(data, part=(0.2, 0.7), seed=3)
    found = [int(Path(source.name(i)).stem) for i in range(len(source))]
    assert found == share(20, (0.2, 0.7), 3).tolist()


def test_several_brackets_make_one_name_and_none_take_all() -> None:
    names = ["s1/p1_x", "s2/p1_x", "s1/p1_y"]
    assert groups_by_pattern(names, r"(s\d)/(p\d)", "x").names == ["s1/p1", "s2/p1"]
    assert groups_by_pattern(names, r"p\d", "x").names == ["p1"]


def test_a_part_without_a_group_is_told(tmp_path: Path) -> None:
    data = str(write_folder(tmp_path / "x", {"a_0.jpg": b"", "a_1.jpg": b""}))
    with pytest.raises(UserError, match=r"of 1 groups is none"):
        for part in ((0.0, 0.5), (0.5, 1.0)):
            open_source(data, group="a", part=part)


@pytest.mark.parametrize("names", [("7", "07"), ("7", "7.0"), ("-1", "-01")])
def test_one_number_is_no_two_groups(names: tuple[str, str]) -> None:
    with pytest.raises(UserError, match="one number and two groups"):
        groups_by_name([*names, "8"], "t.csv")


def test_parts_of_hashes_are_groups_of_their_own() -> None:
    assert len(groups_by_name(["1e400", "2e400", "00e1", "00e2", "inf", "Infinity"]).names) == 6


@pytest.mark.parametrize("pattern", ["()", "(x?)", ".{0}"])
def test_a_pattern_that_finds_empty_names_is_refused(pattern: str) -> None:
    with pytest.raises(UserError, match="finds an empty name in those of 2 of 2 images of data"):
        groups_by_pattern(["a/1.jpg", "b/2.jpg"], pattern, "data")
