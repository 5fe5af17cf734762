from pathlib import Path

import pytest

from downstream.dense.convert.found import Found
from downstream.dense.convert.voc import read_voc

DOG = """<object><name> dog </name><truncated>1</truncated><difficult>{difficult}</difficult>
<bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>{more}</object>"""


def dog(*sides: object, difficult: int = 0, more: str = "") -> str:
    return DOG.format(*sides, difficult=difficult, more=more)


def read(folder: Path, *objects: str, zero_based: bool = False, head: str = "") -> Found:
    text = f"<annotation>{head}{''.join(objects)}</annotation>"
    (folder / "a.xml").write_text(text)
    return read_voc(folder, zero_based)


def test_pixels_from_1_become_edges_from_0(tmp_path: Path) -> None:
    """VOC's first box of the first column is xmin = xmax = 1, one pixel wide."""
    found = read(tmp_path, dog(1, 1, 1, 1), dog(48, 240, 195, 371), dog("1.5", 2, 3, 4))
    (annotated,) = found.annotated
    assert [thing.box for thing in annotated.objects] == [
        [0, 0, 1, 1],
        [47, 239, 148, 132],
        [0.5, 1, 2.5, 3],
    ]
    assert annotated.objects[0].label == "dog" and not found.broken and not found.notes
    assert found.kept["truncated"] == 3


def test_edges_from_0_stay_as_they_are(tmp_path: Path) -> None:
    found = read(tmp_path, dog(0, 0, 10, 20), zero_based=True)
    assert found.annotated[0].objects[0].box == [0, 0, 10, 20] and not found.notes


def test_a_box_at_pixel_0_is_said(tmp_path: Path) -> None:
    found = read(tmp_path, dog(0, 5, 10, 20), dog(1, 5, 10, 20))
    assert found.annotated[0].objects[0].box == [-1, 4, 11, 16]
    (note,) = found.notes
    assert "1 box(es) begin before pixel 1" in note and "--zero-based" in note


def test_swapped_corners_are_mended_and_said(tmp_path: Path) -> None:
    found = read(tmp_path, dog(10, 20, 1, 2))
    (thing,) = found.annotated[0].objects
    assert thing.box == [0, 1, 10, 19]
    assert thing.mended == ["its corners were swapped: 10, 20 and 1, 2"]


def test_what_is_difficult_is_a_crowd(tmp_path: Path) -> None:
    found = read(tmp_path, dog(1, 1, 5, 5, difficult=1), dog(1, 1, 5, 5))
    assert [thing.crowd for thing in found.annotated[0].objects] == [True, False]
    assert found.kept["difficult"] == 1


def test_parts_and_turned_boxes_are_counted(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>2</xmin></bndbox></part>"
    turned = "<object><name>ship</name><robndbox><cx>9</cx></robndbox></object>"
    found = read(tmp_path, dog(1, 1, 5, 5, more=part * 2), turned)
    assert len(found.annotated[0].objects) == 1
    assert +found.left_out == {"<part>": 2, "<robndbox>": 1}


def test_name_and_size_of_the_image_are_read(tmp_path: Path) -> None:
    size = "<size><width>640</width><height>480</height><depth>3</depth></size>"
    head = f"<filename>x\\b.jpg</filename>{size}"
    (annotated,) = read(tmp_path, dog(1, 1, 5, 5), head=head).annotated
    assert (annotated.path, annotated.stem, annotated.size) == ("x/b.jpg", "a", (480, 640))


@pytest.mark.parametrize(
    "text, words",
    [
        (dog(1, 1, "nan", 5), "a.xml has 'nan' as xmax of object 1: expected a number"),
        (dog(1, 1, "inf", 5), "has 'inf' as xmax"),
        (dog(1, 1, "1e400", 5), "has '1e400' as xmax"),
        (dog(1, "1_0", 4, 5), "has '1_0' as ymin"),
        (dog(1, "1,5", 4, 5), "has '1,5' as ymin"),
        (dog("", 1, 4, 5), "has no <bndbox/xmin> in object 1"),
        ("<object><name>dog</name></object>", "has no <bndbox/xmin> in object 1"),
        ("<object></object>", "has no <name> in object 1"),
        ("<object><name>a\tb</name></object>", r"has 'a\\tb' as class of object 1"),
        ("<size><width>x</width><height>1</height></size>", "has 'x' as the image's width"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path: Path, text: str, words: str) -> None:
    found = read(tmp_path, text)
    (line,) = found.broken
    assert line.startswith("a.xml has") and words.replace("\\\\", "\\") in line
