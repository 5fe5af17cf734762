from pathlib import Path

import pytest

from downstream.dense.convert.cvat import read_cvat
from downstream.dense.convert.found import Found

LABELS = "<meta><task><labels>{}</labels></task></meta>"
LABEL = "<label><name>{}</name><attributes></attributes></label>"
CORNERS = 'xtl="1.5" ytl="2" xbr="4" ybr="8"'


def read(folder: Path, *shapes: str, meta: str = "") -> Found:
    image = f'<image id="0" name="x/b.jpg" width="7" height="5">{"".join(shapes)}</image>'
    (folder / "annotations.xml").write_text(f"<annotations>{meta}{image}</annotations>")
    return read_cvat(folder / "annotations.xml")


def test_boxes_and_polygons_are_taken_others_counted(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        f'<box label="cat" {CORNERS} occluded="1"><attribute name="a">b</attribute></box>',
        '<points label="nose" points="1,1"/><tag label="day"/><cuboid/><polyline/><polyline/>',
        '<polygon label="dog" points="0,0;9.25,0;9,9"></polygon>',
    )
    assert not found.broken and found.lists_images
    (annotated,) = found.annotated
    assert (annotated.path, annotated.size) == ("x/b.jpg", (5, 7))
    assert [thing.box for thing in annotated.objects] == [[1.5, 2, 2.5, 6], None]
    assert [thing.mask for thing in annotated.objects] == [None, [[0, 0, 9.25, 0, 9, 9]]]
    assert [thing.where for thing in annotated.objects] == ["box 1", "polygon 7"]
    assert found.left_out == {"<points>": 1, "<tag>": 1, "<cuboid>": 1, "<polyline>": 2}
    assert found.kept["occluded"] == 1


def test_classes_are_those_declared_in_natural_order(tmp_path: Path) -> None:
    parts = "<label><name>arm</name><parent>man</parent></label>"
    meta = LABELS.format(parts + LABEL.format("c10") + LABEL.format("c2"))
    found = read(tmp_path, f'<box label="c2" {CORNERS}/>', meta=meta)
    assert found.categories == {1: "c2", 2: "c10"}


def test_of_a_turned_box_the_one_around_it_is_taken_and_said(tmp_path: Path) -> None:
    sides = 'xtl="10" ytl="20" xbr="30" ybr="24"'
    found = read(
        tmp_path,
        f'<box label="cat" {sides} rotation="90"/>',
        f'<box label="cat" {sides} rotation="45"/>',
        f'<box label="cat" {sides} rotation="360"/>',
    )
    quarter, eighth, whole = found.annotated[0].objects
    assert quarter.box == pytest.approx([18, 12, 4, 20])
    side = 24 / 2**0.5
    assert eighth.box == pytest.approx([20 - side / 2, 22 - side / 2, side, side])
    assert eighth.mended == ["turned by 45°: the upright box around it was taken"]
    assert whole.box == [10, 20, 20, 4] and not whole.mended


def test_polygons_of_a_group_are_one_object_without_group_they_are_not(tmp_path: Path) -> None:
    polygon = '<polygon label="cat" points="0,0;9,0;9,9" group_id="{}"/>'
    found = read(tmp_path, *map(polygon.format, (0, 4, 4, 0)))
    assert [len(thing.mask) for thing in found.annotated[0].objects] == [1, 2, 1]


@pytest.mark.parametrize(
    "shape, words",
    [
        ('<box label="cat" xtl="1"/>', "annotations.xml has no 'ytl' in box 1"),
        (f"<box {CORNERS}/>", "has None as class of box 1 of 'x/b.jpg'"),
        ('<polygon label="cat"/>', "has no 'points' in polygon 1"),
        ('<polygon label="cat" points="1,2;3"/>', "has '3' as a point of polygon 1"),
        ('<polygon label="cat" points="1,nan"/>', "has 'nan' as a point of polygon 1"),
        (f'<box label="cat" {CORNERS} rotation="x"/>', "has 'x' as rotation of box 1"),
        ("</image><image>", "has no 'name' in an <image>"),
        ("</image><track/><image name='a'>", "holds tracks of a video"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path: Path, shape: str, words: str) -> None:
    found = read(tmp_path, shape)
    assert len(found.broken) == 1 and words in found.broken[0]
