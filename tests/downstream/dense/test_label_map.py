"""Values of masks as configs name them: numbers and colours become labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from downstream.dense.label_map import IGNORED, LabelMap, label_map, read_label_map, read_values
from mae_core import UserError

TWO = ("background", "cell")


def test_numbers_become_labels() -> None:
    table = label_map(Config({"pixel_values": [7, 1000]}), TWO).lookup()
    assert (table[7], table[1000], table[0], table[255]) == (0, 1, IGNORED, IGNORED)
    assert label_map(Config({}), TWO).lookup()[:3].tolist() == [0, 1, IGNORED]
    assert label_map(Config({"ignored": [9]}), TWO).known == {0, 1, 9, 255}


def test_colours_become_labels_in_each_form() -> None:
    found = read_label_map(["#000000", "#FF8000", [255, 0, 1]], ["#ffffff"])
    assert found.values == (0, 0xFF8000, 0xFF0001) and found.coloured
    assert found.known == {0, 0xFF8000, 0xFF0001, 0xFFFFFF}  # 255 is a blue as any
    table = found.lookup()
    assert [int(table[value]) for value in (0, 0xFF8000, 0xFF0001, 255)] == [0, 1, 2, IGNORED]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"pixel_values": [0, 65536]}, "expected different numbers from 0 to 65535"),
        ({"pixel_values": [0, 0]}, "expected different numbers"),
        ({"pixel_values": [0, -1]}, "expected different numbers"),
        ({"pixel_values": [0, True]}, "expected different numbers"),
        ({"pixel_values": [0, "1"]}, "expected different numbers"),
        ({"pixel_values": 7}, "expected different numbers"),
        ({"pixel_values": [1, 2, 3]}, "2 classes, but 3 values"),
        ({"pixel_values": ["#000000", 1]}, "or different colours, such as '#ff0000'"),
        ({"pixel_values": ["#000000", [0, 0, 0]]}, "different colours"),
        ({"pixel_values": ["#000000", "#fff"]}, "different colours"),
        ({"pixel_values": ["#000000", "red"]}, "different colours"),
        ({"pixel_values": ["#000000", [0, 0, 256]]}, "different colours"),
        ({"pixel_values": ["#000000", [0, 0, 0, 0]]}, "different colours"),
        ({"ignored": [1]}, r"both have \[1\]"),
        ({"ignored": [70000]}, "ignored="),
        ({"ignored": ["#ffffff"]}, "pixel_values are numbers, ignored are colours"),
        ({"pixel_values": ["#000000", "#ff0000"], "ignored": [0]}, "ignored are numbers"),
        ({"pixel_values": ["#000000", "#ff0000"], "ignored": [[0, 0, 0]]}, "have .'#000000'."),
    ],
)
def test_impossible_values_are_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        label_map(Config(fields), TWO)


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(), st.lists, max_leaves=8))
def test_anything_is_values_or_one_message(given_values: object) -> None:
    try:
        values, coloured = read_values(given_values, "pixel_values")
    except UserError as error:
        assert str(error).startswith("pixel_values=")
    else:
        top = 1 << 24 if coloured else 1 << 16
        assert all(0 <= value < top for value in values) and len(set(values)) == len(values)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, (1 << 24) - 1), min_size=1, max_size=255, unique=True))
def test_every_colour_has_the_label_of_its_class_alone(values: list[int]) -> None:
    table = LabelMap(tuple(values), coloured=True).lookup()
    assert table[values].tolist() == list(range(len(values)))
    assert np.count_nonzero(table != IGNORED) == len(values)
