import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mae_core import UserError
from mae_core.data.pack import pack
from mae_core.data.sources import Source, open_source
from mae_core.data.stored import read_raster
from tests.bands import field, npy, tiff
from tests.forms import write_folder, write_tar


def image(seed: int, height: int, width: int) -> Image.Image:
    """A smooth picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes: large and small JPEGs, a PNG, a grey one, and two that are damaged."""
    root = tmp_path / "images"
    for name in ("b", "a"):
        (root / name).mkdir(parents=True)
        image(0, 90, 120).save(root / name / "2.jpg", quality=95)
        image(1, 30, 200).save(root / name / "10.jpg", quality=95)
        image(2, 120, 90).save(root / name / "1.png")
    image(3, 80, 80).convert("L").save(root / "a" / "grey.png")
    (root / "a" / "text.jpg").write_bytes(b"no image")
    (root / "b" / "cut.jpg").write_bytes((root / "b" / "2.jpg").read_bytes()[:500])
    return root


def opened(source: Source, index: int) -> Image.Image:
    return Image.open(io.BytesIO(source.read(index)))


def test_shards_hold_the_same_images_in_the_same_order_with_the_same_labels(
    folder: Path, tmp_path: Path
) -> None:
    packed = pack(str(folder), tmp_path / "out", short_side=40, workers=2)
    before, after = open_source(str(folder)), open_source(str(tmp_path / "out"))
    readable = [
        i for i in range(len(before)) if not before.name(i).endswith(("text.jpg", "cut.jpg"))
    ]
    assert packed.images == len(after) == len(readable) == 7
    assert after.classes == before.classes == ["a", "b"]
    assert after.labels.tolist() == before.labels[readable].tolist()
    for new, old in enumerate(readable):
        stored, small = opened(before, old).convert("RGB"), opened(after, new)
        height, width = small.height, small.width
        assert min(height, width) == min(40, stored.height, stored.width)
        assert width / height == pytest.approx(stored.width / stored.height, rel=0.03)
        expected = np.asarray(stored.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(expected - np.asarray(small.convert("RGB"))).mean() < 3
    assert packed.size == sum(len(after.read(i)) for i in range(7)) < packed.size_before


def test_small_images_are_copied_and_grey_stays_grey(folder: Path, tmp_path: Path) -> None:
    pack(str(folder), tmp_path / "out", short_side=80, workers=0)
    before, after = open_source(str(folder)), open_source(str(tmp_path / "out"))
    contents = {after.read(i) for i in range(len(after))}
    assert (folder / "a" / "10.jpg").read_bytes() in contents
    assert (folder / "a" / "grey.png").read_bytes() in contents
    assert (folder / "a" / "2.jpg").read_bytes() not in contents
    pack(str(folder), tmp_path / "smaller", short_side=20, workers=0)
    smaller = open_source(str(tmp_path / "smaller"))
    modes = [opened(smaller, i).mode for i in range(len(smaller))]
    assert modes.count("L") == 1 and {opened(smaller, i).format for i in range(7)} == {"JPEG"}
    assert len(before) == 9


def test_what_cannot_be_read_is_left_out_and_listed(folder: Path, tmp_path: Path) -> None:
    packed = pack(str(folder), tmp_path / "out", workers=2)
    assert len(packed.unreadable) == 2
    assert packed.unreadable[0].startswith(f"{folder}/a/text.jpg cannot be read")
    assert packed.unreadable[1].startswith(f"{folder}/b/cut.jpg cannot be read")


def test_every_run_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "first", tmp_path / "second"]
    calls: list[tuple[int, int]] = []
    for out, workers in zip(outs, (0, 2), strict=True):
        pack(str(folder), out, 40, workers=workers, progress=lambda *done: calls.append(done))
    first, second = (sorted(path.read_bytes() for path in out.iterdir()) for out in outs)
    assert first == second and len(first) == 1
    assert calls[-1] == (9, 9)


def test_a_full_shard_is_followed_by_another(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 700, 700, 3), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", images=images, labels=[7, 1, 0, 1, 2, 2, 3, 1])
    packed = pack(str(tmp_path / "noise.npz"), tmp_path / "out", 700, shard_mb=3, workers=0)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "out").iterdir())]
    assert packed.shards == len(sizes) == 3 and max(sizes) < 5e6
    before, after = (open_source(str(tmp_path / name)) for name in ("noise.npz", "out"))
    assert after.labels.tolist() == before.labels.tolist() and after.classes == before.classes
    assert all(np.array_equal(opened(after, i), before.read(i)) for i in range(8))


def test_images_without_labels_stay_so(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    for number in range(3):
        image(number, 20, 20).save(tmp_path / "flat" / f"{number}.png")
    packed = pack(str(tmp_path / "flat"), tmp_path / "out", workers=0)
    after = open_source(str(tmp_path / "out"))
    assert not packed.numbered and after.classes == [] and after.labels.tolist() == [-1] * 3


@pytest.mark.parametrize("names", [["5", "10"], ["0", "1"]])
def test_class_names_that_are_digits_become_the_labels_numbers(
    tmp_path: Path, names: list[str]
) -> None:
    for name in names:
        (tmp_path / "in" / name).mkdir(parents=True)
        image(0, 20, 20).save(tmp_path / "in" / name / "x.png")
    packed = pack(str(tmp_path / "in"), tmp_path / "out", workers=0)
    after = open_source(str(tmp_path / "out"))
    assert after.labels.tolist() == [0, 1] and after.classes == ["0", "1"]
    assert packed.numbered == (names != ["0", "1"])


def test_mistakes_are_explained_and_leave_nothing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"images is there already: delete it or name another"):
        pack(str(folder), folder)
    with pytest.raises(UserError, match="quality 101: expected 1 to 100"):
        pack(str(folder), tmp_path / "out", quality=101)
    with pytest.raises(UserError, match="no data at"):
        pack(str(tmp_path / "no"), tmp_path / "out")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"bad has no readable image; the first: .*x\.png"):
        pack(str(tmp_path / "bad"), tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_images_are_packed_as_they_are_stored(tmp_path: Path, dtype: str) -> None:
    images = np.stack([field(seed, size=30) for seed in range(4)]).astype(dtype)
    members = {f"{'ab'[i % 2]}/{i}.tif": tiff(image) for i, image in enumerate(images)}
    members["b/cut.tif"] = members["a/0.tif"][:900]
    folder = write_folder(tmp_path / "in", members)
    Image.fromarray(images[0, ..., 0].astype(np.uint16)).save(folder / "a" / "deep.png")
    packed = pack(str(folder), tmp_path / "out", 8, workers=0, as_stored=True)
    after = open_source(str(tmp_path / "out"))
    assert packed.images == 5 and after.classes == ["a", "b"]
    assert "cut.tif cannot be read" in packed.unreadable[0]
    contents = [after.read(i) for i in range(5)]
    assert contents[:3:2] == [members["a/0.tif"], (folder / "a" / "deep.png").read_bytes()]
    np.savez(tmp_path / "x.npz", images=images)
    pack(str(tmp_path / "x.npz"), tmp_path / "arrays", 8, workers=0, as_stored=True)
    arrays = open_source(str(tmp_path / "arrays"))
    for index, image in enumerate(images):
        assert np.array_equal(read_raster(arrays.read(index), "x").pixels, image)


@pytest.mark.parametrize("shard_mb", [1, 256])
def test_arrays_beside_other_kinds_are_kept(tmp_path: Path, shard_mb: int) -> None:
    images = [field(seed, size=180 if seed < 2 else 16) for seed in range(4)]
    contents = [tiff(images[0]), npy(images[1]), npy(images[2]), tiff(images[3])]
    names = [f"{i}.{'npy' if i in (1, 2) else 'tif'}" for i in range(4)]
    write_folder(tmp_path / "in", dict(zip(names, contents, strict=True)))
    (tmp_path / "x.csv").write_text("\n".join(["path", *names]))
    table = {"root": str(tmp_path / "in")}
    packed = pack(
        str(tmp_path / "x.csv"),
        tmp_path / "out",
        shard_mb=shard_mb,
        workers=0,
        as_stored=True,
        meaning=table,
    )
    after = open_source(str(tmp_path / "out"))
    assert packed.images == len(after) == 4
    for index, image in enumerate(images):
        assert np.array_equal(read_raster(after.read(index), "x").pixels, image)


def test_arrays_beside_images_of_another_shard_are_none(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {"0.tif": tiff(field(0)), "0.npy": npy(field(1))})
    write_tar(tmp_path / "1.tar", {"1.npy": npy(field(1))})
    assert len(open_source(str(tmp_path))) == 1
    (tmp_path / "0.tar").unlink()
    assert len(open_source(str(tmp_path))) == 1
