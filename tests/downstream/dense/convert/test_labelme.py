import json
from pathlib import Path
from typing import Any

import pytest

from downstream.dense.convert.found import Found
from downstream.dense.convert.labelme import read_labelme


def shape(kind: str | None, points: Any, label: Any = "cat", group: Any = None) -> dict[str, Any]:
    return {"label": label, "shape_type": kind, "points": points, "group_id": group}


def read(folder: Path, shapes: list[Any], **fields: Any) -> Found:
    (folder / "x").mkdir()
    (folder / "x" / "a.json").write_text(json.dumps({"shapes": shapes, **fields}))
    return read_labelme(folder)


def test_polygons_and_rectangles_are_taken_others_counted(tmp_path: Path) -> None:
    corners = [[9, 1], [3, 5]]
    found = read(
        tmp_path,
        [
            shape("polygon", [[0, 0], [9, 0], [9, 9]]),
            shape(None, [[1, 0], [9, 0], [9, 9]], "dog"),
            shape("rectangle", corners),
            shape("rectangle", [[3, 1], [9, 1], [9, 5], [3, 5]]),
            shape("circle", corners),
            shape("point", [[1, 1]]),
            shape("point", [[1, 1]]),
            shape("linestrip", corners),
        ],
    )
    things = found.annotated[0].objects
    assert [thing.mask for thing in things[:2]] == [[[0, 0, 9, 0, 9, 9]], [[1, 0, 9, 0, 9, 9]]]
    assert [thing.box for thing in things[2:]] == [[3, 1, 6, 4]] * 2
    assert found.left_out == {"circle": 1, "point": 2, "linestrip": 1}
    assert found.categories == {1: "cat", 2: "dog"}


def test_polygons_of_a_group_and_class_are_one_object_and_that_is_said(tmp_path: Path) -> None:
    points = [[0, 0], [9, 0], [9, 9]]
    found = read(
        tmp_path,
        [
            shape("polygon", points, "cat", 1),
            shape("polygon", points, "dog", 1),
            shape("rectangle", points[::2], "cat", 1),
            shape("polygon", points, "cat", 1),
            shape("polygon", points, "cat", 0),
        ],
    )
    things = found.annotated[0].objects
    assert [len(thing.mask or []) for thing in things] == [2, 1, 0, 1]
    assert [len(thing.mended) for thing in things] == [1, 0, 0, 0]
    assert things[0].mended == ["2 polygons of group 1 are one object"]


def test_path_and_size_of_the_image_are_read(tmp_path: Path) -> None:
    (annotated,) = read(
        tmp_path, [], imagePath="..\\y\\b.jpg", imageHeight=5, imageWidth=7, imageData="AAAA"
    ).annotated
    assert (annotated.path, annotated.stem, annotated.size) == ("y/b.jpg", "x/a", (5, 7))


SQUARE = [[0, 0], [5, 5]]


@pytest.mark.parametrize(
    "shapes, words",
    [
        ([3], "x/a.json has 3 as shape 1: expected fields"),
        ([shape("polygon", None)], "has None as points of shape 1"),
        ([shape("polygon", [[1, 2], [3]])], "has [3] as a point of shape 1"),
        (
            [shape("polygon", [[1, "x"], [3, 4]])],
            "has 'x' as a point of shape 1: expected a number",
        ),
        ([shape("polygon", [[1, float("nan")]])], "has nan as a point"),
        ([shape("polygon", [[1, float("inf")]])], "has inf as a point"),
        ([shape("polygon", [[1, 10**400]])], "as a point"),
        ([shape("polygon", [[1, True]])], "has True as a point"),
        ([shape("rectangle", [[0, 0], [1, 1], [2, 2]])], "as corners of shape 1"),
        ([shape("rectangle", [[0, 5], [5, 0], [9, 5], [5, 9]])], "as corners of shape 1"),
        ([shape("rectangle", SQUARE, None)], "has None as class of shape 1: expected a name"),
        ([shape("rectangle", SQUARE, "a\nb")], "as class of shape 1"),
        ([shape("rectangle", SQUARE, "9" * 5000)], "expected a name of at most 255 letters"),
    ],
)
def test_a_broken_shape_is_named_with_the_reason(
    tmp_path: Path, shapes: list[Any], words: str
) -> None:
    found = read(tmp_path, shapes)
    assert len(found.broken) == 1 and words in found.broken[0]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"{", "is no JSON"),
        (b"\xff\xfe\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "has no list 'shapes'"),
        (b'{"images": []}', "has no list 'shapes'"),
        (b'{"shapes": [], "imagePath": 3}', "has 3 as imagePath"),
        (b'{"shapes": [], "imageHeight": "a", "imageWidth": 3}', "has 'a' as the image's height"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    (line,) = read_labelme(tmp_path).broken
    assert line.startswith("a.json ") and words in line
