import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from timm.data.readers.reader_image_folder import find_images_and_targets

from mae_core import UserError
from mae_core.data.decode import Unreadable
from mae_core.data.each import read_stored
from mae_core.data.sources.base import NO_LABEL, labels_by_folder, natural, same_names
from mae_core.data.sources.folder import FolderSource
from tests.forms import some_images, write_flat, write_folder

SUFFIXES = ["png", "jpg", "JPEG", "bmp", "gif", "pgm", "ppm", "tif", "TIFF", "webp"]


def test_images_come_in_natural_order_with_the_label_of_their_folder(tmp_path: Path) -> None:
    images = some_images()
    source = FolderSource(write_folder(tmp_path / "images", images))
    assert [source.read(i) for i in range(len(source))] == list(images.values())
    assert source.name(5) == f"{tmp_path}/images/c9/3.jpg"
    assert source.classes == ["c8", "c9", "c10"]
    assert source.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_sequence_and_classes_are_timms(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images", some_images(classes=5, each=12))
    found, classes = find_images_and_targets(str(root))
    source = FolderSource(root)
    assert [source.name(i) for i in range(len(source))] == [name for name, _ in found]
    assert source.labels.tolist() == [label for _, label in found]
    assert source.classes == list(classes)


def test_images_at_the_top_have_no_labels(tmp_path: Path) -> None:
    source = FolderSource(write_flat(tmp_path / "images", some_images()))
    assert source.classes == []
    assert set(source.labels) == {NO_LABEL}


def test_deep_folders_are_searched_and_links_followed(tmp_path: Path) -> None:
    write_folder(tmp_path / "elsewhere", {"x.jpg": b"2"})
    root = write_folder(tmp_path / "images", {"a/b/c/x.jpg": b"1"})
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    source = FolderSource(root)
    assert [source.read(i) for i in range(2)] == [b"1", b"2"]
    assert source.classes == ["c", "linked"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pillows_usual_formats_are_images(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / f"x.{suffix}")
    assert len(FolderSource(tmp_path)) == 1


def test_what_is_no_image_or_hidden_is_passed_over(tmp_path: Path) -> None:
    names = ["a/x.jpg", "a/._x.jpg", ".thumbnails/x.jpg", "a/x.txt", "a/jpg", "readme.md"]
    source = FolderSource(write_folder(tmp_path / "images", dict.fromkeys(names, b"")))
    assert [source.name(i) for i in range(len(source))] == [f"{tmp_path}/images/a/x.jpg"]
    assert source.classes == ["a"]


def test_names_of_any_bytes_are_kept(tmp_path: Path) -> None:
    names = [b"\xff.jpg", "grün.jpg".encode(), b"a b.jpg"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    source = FolderSource(tmp_path)
    assert {source.read(i) for i in range(3)} == set(names)


def test_a_link_to_a_folder_above_is_refused(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images", {"a/x.jpg": b""})
    (root / "a" / "up").symlink_to(root)
    with pytest.raises(UserError, match=f"{root}/a/up links to a folder that it lies in"):
        FolderSource(root)


@given(st.text(alphabet="aA/²٣019_.", max_size=9), st.text(alphabet="aA/²٣019_.", max_size=9))
def test_any_two_names_can_be_ordered(one: str, other: str) -> None:
    assert (natural(one) < natural(other)) + (natural(other) < natural(one)) == (one != other)


@given(st.permutations(["a1.jpg", "A1.jpg", "a01.jpg", "a2.jpg", "a10.jpg", "B.jpg", "b.jpg"]))
def test_the_order_does_not_depend_on_the_file_systems(names: list[str]) -> None:
    ordered = sorted(names, key=natural)
    assert ordered == ["A1.jpg", "a01.jpg", "a1.jpg", "a2.jpg", "a10.jpg", "B.jpg", "b.jpg"]


@pytest.mark.parametrize("inside", [{}, {"class/readme.txt": b""}])
def test_a_folder_without_images_says_what_is_known(
    tmp_path: Path, inside: dict[str, bytes]
) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path} holds no images; known are .*\.webp"):
        FolderSource(write_folder(tmp_path, inside))


@pytest.mark.skipif(os.getuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    closed = write_folder(tmp_path / "images", {"a/x.jpg": b""}) / "a"
    closed.chmod(0)
    with pytest.raises(UserError, match=f"{closed} cannot be listed"):
        FolderSource(tmp_path / "images")


def test_folders_of_the_same_name_are_classes_of_their_own(tmp_path: Path) -> None:
    names = ["cat/2019/x.jpg", "dog/2019/x.jpg", "cat/2020/x.jpg"]
    source = FolderSource(write_folder(tmp_path / "images", dict.fromkeys(names, b"")))
    assert source.classes == ["cat/2019", "cat/2020", "dog/2019"]
    assert same_names(source.classes) == ["cat/2019", "dog/2019"]
    assert source.labels.tolist() == [0, 1, 2]


def test_what_is_left_out_is_said_by_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["a/x.jpg", *(f"a/{i}.HEIC" for i in range(9)), "readme", ".hidden/x.heic"]
    FolderSource(write_folder(tmp_path / "images", dict.fromkeys(names, b"")))
    assert f"{tmp_path}/images: left out" in caplog.text
    assert "9 .heic, 1 without suffix" in caplog.text


def test_a_link_to_a_device_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "x.png").symlink_to("/dev/zero")
    with pytest.raises(Unreadable, match="no regular file"):
        read_stored(FolderSource(tmp_path), 0)


@given(st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=4, unique=True))
def test_classes_of_any_bytes_are_text(names: list[bytes]) -> None:
    paths = [
        os.fsdecode(name.replace(b"/", b"-").replace(b"\0", b"-")) + "/x.png" for name in names
    ]
    classes, labels = labels_by_folder(paths)
    assert "\n".join(classes).encode()
    assert len(labels) == len(paths) and labels.max() < len(classes)
