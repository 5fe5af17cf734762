from pathlib import Path

import pytest
from PIL import Image

from downstream.dense.convert.found import Annotated, Broken
from downstream.dense.convert.pictures import Pictures, in_same_folders
from mae_core.errors import UserError

NAMES = ("1.jpg", "a/1.jpg", "b/1.png", "b/2.png", "c/d/3.jpg", "a/4.jpg", "b/4.jpg")


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    for name in (*NAMES, "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return Pictures(tmp_path)


@pytest.mark.parametrize(
    "path, stem, found",
    [
        ("1.jpg", "", "1.jpg"),
        ("", "1", "1.jpg"),
        ("a/1.jpg", "", "a/1.jpg"),
        ("", "b/1", "b/1.png"),
        ("images/b/1.png", "", "b/1.png"),
        ("2.png", "", "b/2.png"),
        ("", "other/2", "b/2.png"),
        ("d/3.jpg", "d/3", "c/d/3.jpg"),
        ("gone.jpg", "b/2", "b/2.png"),
        ("2.jpg", "", None),
        ("notes.txt", "notes", None),
        ("", "", None),
    ],
)
def test_images_are_found_by_path_then_by_name(
    pictures: Pictures, path: str, stem: str, found: str | None
) -> None:
    assert pictures.find(Annotated("x", [], path=path, stem=stem)) == found


@pytest.mark.parametrize("path, stem", [("z/4.jpg", ""), ("", "4"), ("a/4.jpg", "b/2")])
def test_what_may_be_several_is_refused(pictures: Pictures, path: str, stem: str) -> None:
    with pytest.raises(Broken, match=r"may be of several images, .*'\w/4.jpg'"):
        pictures.find(Annotated("x", [], path=path, stem=stem))


def test_one_stem_of_two_images_is_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    pictures = Pictures(tmp_path)
    with pytest.raises(Broken, match=r"may be of several images, \['a.jpg', 'a.png'\]"):
        pictures.find(Annotated("x", [], stem="a"))
    assert pictures.find(Annotated("x", [], path="a.png")) == "a.png"


def test_folders_are_the_same_where_one_path_ends_the_other() -> None:
    assert in_same_folders("b/1.png", "images/b/1.txt")
    assert in_same_folders("b/1.png", "1.txt") and in_same_folders("1.png", "b/1.txt")
    assert not in_same_folders("b/1.png", "a/1.txt")
    assert not in_same_folders("b/1.png", "ab/1.txt")


def test_sizes_are_those_that_viewers_show(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("L", (5, 7)).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"none")
    pictures = Pictures(tmp_path)
    sizes, faults = pictures.sizes(pictures.names)
    assert sizes == [(40, 30), (7, 5)]
    assert len(faults) == 1 and "c.png cannot be read as an image" in faults[0]


def test_names_that_no_json_holds_and_huge_images_are_faults(tmp_path: Path) -> None:
    Image.new("1", (1, 1)).save(tmp_path / "a\nb.png")
    Image.new("1", (20_000, 10_000)).save(tmp_path / "c.png")
    pictures = Pictures(tmp_path)
    _, faults = pictures.sizes(pictures.names)
    assert "its name is no UTF-8 or cannot be printed" in faults[0]
    assert "200,000,000 pixels: at most" in faults[1]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").touch()
    with pytest.raises(UserError, match=r"holds no images.*1 .xml"):
        Pictures(tmp_path)
    with pytest.raises(UserError, match=r"no folder .*gone with images: name it by --images"):
        Pictures(tmp_path / "gone")
