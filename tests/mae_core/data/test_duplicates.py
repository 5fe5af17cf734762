from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mae_core.data.duplicates import Scanned, Shared, duplicates, kept, kind, scan
from mae_core.data.sources import open_source
from tests.mae_core.data.test_likeness import smooth


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Train a..f and val x..z: x is a, y is b in another format, z is c mirrored; f is e again."""
    pictures = [Image.fromarray(image) for image in smooth(6)]
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    for name, picture in zip("abcde", pictures, strict=False):
        picture.save(tmp_path / "train" / f"{name}.png")
    pictures[4].save(tmp_path / "train" / "f.bmp")
    pictures[0].save(tmp_path / "val" / "x.tif", compression="tiff_lzw")
    pictures[1].resize((30, 70)).save(tmp_path / "val" / "y.jpg", quality=60)
    pictures[2].transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "val" / "z.png")
    pictures[5].save(tmp_path / "val" / "own.png")
    return tmp_path


def scanned(folder: Path, workers: int = 0) -> Scanned:
    return scan(open_source(str(folder)), workers=workers)


def named(one: Scanned, other: Scanned, pairs: np.ndarray) -> list[tuple[str, str, str]]:
    found = []
    for pair in pairs:
        names = one.source.name(pair["one"]), other.source.name(pair["other"])
        found.append((kind(pair), *(Path(name).name for name in names)))
    return found


def test_duplicates_are_found_across_sets_and_within(data: Path) -> None:
    train, val = scanned(data / "train"), scanned(data / "val")
    across = duplicates(train, val)
    assert named(train, val, across) == [
        ("exact", "a.png", "x.tif"),
        ("near", "b.png", "y.jpg"),
        ("mirrored", "c.png", "z.png"),
    ]
    within = duplicates(train, None)
    assert named(train, train, within) == [("exact", "f.bmp", "e.png")]
    found = [Shared("val", val, across, False), Shared("train", train, within, True)]
    assert [shared.counts() for shared in found] == [(1, 2), (1, 0)]
    names = [train.source.name(i) for i in np.flatnonzero(kept(train, found))]
    assert [Path(name).name for name in names] == ["d.png", "e.png"]


def test_the_number_of_processes_changes_nothing(data: Path) -> None:
    one, two = scanned(data / "train"), scanned(data / "train", workers=2)
    np.testing.assert_array_equal(one.digests, two.digests)
    np.testing.assert_array_equal(one.thumbnails, two.thumbnails)


def test_copies_of_an_image_count_as_it_does(data: Path) -> None:
    Image.open(data / "train" / "b.png").save(data / "train" / "b2.png", compress_level=1)
    Image.open(data / "val" / "y.jpg").save(data / "val" / "y2.bmp")
    train, val = scanned(data / "train"), scanned(data / "val")
    pairs = duplicates(train, val)
    near = [names for what, *names in named(train, val, pairs) if what == "near"]
    assert {one for one, _ in near} == {"b.png", "b2.png"}
    assert {other for _, other in near} == {"y.jpg", "y2.bmp"}
    assert Shared("val", val, pairs, False).counts() == (1, 3)


def test_orientation_and_channels_are_of_the_pixels_not_of_the_file(tmp_path: Path) -> None:
    picture = Image.fromarray(smooth(1)[0]).convert("L")
    picture.save(tmp_path / "grey.png")
    picture.convert("RGB").save(tmp_path / "rgb.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    picture.rotate(180).save(tmp_path / "turned.png", exif=exif)
    one = scanned(tmp_path)
    assert len(set(one.digests.tolist())) == 1


def test_flat_images_are_duplicates_only_if_their_pixels_are_equal(tmp_path: Path) -> None:
    for name, level in (("a", 7), ("b", 7), ("c", 8), ("d", 200)):
        Image.new("RGB", (20, 20), (level,) * 3).save(tmp_path / f"{name}.png")
    one = scanned(tmp_path)
    assert one.flat.all()
    assert named(one, one, duplicates(one, None)) == [("exact", "b.png", "a.png")]


def test_what_cannot_be_read_is_no_duplicate_of_anything(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    Image.fromarray(smooth(1)[0]).save(tmp_path / "c.png")
    one = scanned(tmp_path)
    assert one.readable.tolist() == [False, False, True] and len(one.unreadable) == 2
    for pairs in (duplicates(one, None), duplicates(one, one._replace(readable=one.readable & 0))):
        assert not (pairs["one"] < 2).any()
    assert kept(one, []).tolist() == [False, False, True]


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_arrays_of_any_channels_are_compared(tmp_path: Path, channels: int) -> None:
    images = np.concatenate([smooth(3), smooth(2)])[..., [0, 1, 2, 0, 1][:channels]]
    np.savez(tmp_path / "x.npz", images=images)
    one = scanned(tmp_path / "x.npz")
    assert duplicates(one, None)[["one", "other"]].tolist() == [(3, 0), (4, 1)]


def test_images_of_16_bits_are_scaled_alike(tmp_path: Path) -> None:
    picture = smooth(1)[0][..., 0].astype(np.uint16)
    (tmp_path / "deep").mkdir()
    (tmp_path / "plain").mkdir()
    Image.fromarray(picture * 16).save(tmp_path / "deep" / "a.png")
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "plain" / "a.png")
    deep, plain = scanned(tmp_path / "deep"), scanned(tmp_path / "plain")
    assert deep.bits == 12 and len(duplicates(deep, plain)) == 1
