import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as runs

from downstream.dense.shapes import OUTLINE, decode_runs, kind_of, mask_faults, outline

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))))
def test_compressed_runs_are_read_as_pycocotools_wrote_them(mask: np.ndarray) -> None:
    found = decode_runs(runs.encode(np.asfortranarray(mask))["counts"].decode())
    assert found is not None
    values = np.arange(len(found)) % 2
    np.testing.assert_array_equal(np.repeat(values, found), mask.ravel(order="F"))


@given(st.text(alphabet=st.sampled_from("0123OPQop`~ \0é"), max_size=20))
def test_texts_that_pycocotools_would_read_beyond_their_end_are_none(text: str) -> None:
    found = decode_runs(text)
    if text.endswith(("P", "Q", "o", "p")) or not text:  # another letter should follow
        assert found is None
    assert found is None or sum(mask is None for mask in found) == 0


@pytest.mark.parametrize(
    "segmentation, words",
    [
        (None, "has no mask"),
        ("text", "has no mask: its segmentation is 'text'"),
        ([1, 2, 3, 4, 5, 6], r"a polygon is 1: expected a list \[x, y"),
        ([[0, 0, float("nan"), 0, 1, 1]], "a polygon holds nan"),
        ([[0, 0, True, 0, 1, 1]], "a polygon holds True"),
        ([[0, 0, 10**400, 0, 1, 1]], "a polygon holds 1000"),
        ([[0, 0, 1e12, 0, 1, 1]], "reaches out"),
        ([[0, 0, 99, 99] * 9000], "outline is 1,782,000 pixels long"),
        ({"size": [100, 100]}, "counts are None"),
        ({"size": [100, 100], "counts": [10**30]}, "runs are 1000.* pixels, not 10000"),
        ({"size": [100, 100], "counts": [-1, 10001]}, "counts are .-1, 10001"),
        ({"size": [100, 100], "counts": [5.5, 9994.5]}, "expected runs of pixels"),
        ({"size": [100, 100], "counts": "oooo"}, "expected runs of pixels"),
        ({"size": [100, 100], "counts": {}}, "expected runs of pixels"),
        ({"size": [10**9, 10**9], "counts": [10**18]}, "mask is for .1000000000"),
        ({"size": None, "counts": [10**18]}, "mask is for None"),
    ],
)
def test_what_cannot_be_drawn_is_told_without_drawing_it(segmentation, words) -> None:
    (fault,) = mask_faults(segmentation, 100, 100)
    assert re.search(words, fault), fault


def test_kinds_and_outlines() -> None:
    assert kind_of([[1]]) == "polygon" and kind_of([]) == kind_of(3) == "none"
    assert kind_of({}) == "RLE" and kind_of({"counts": ""}) == "compressed RLE"
    assert outline([0, 0, 10, 0, 10, 10, 0, 10]) == 40 < OUTLINE
