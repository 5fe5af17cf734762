from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mae_core.data.bands import any_bands
from mae_core.data.check import check
from mae_core.data.sources import data_digest
from tests.bands import field, npy, tiff
from tests.forms import write_folder


@pytest.mark.parametrize("workers", [0, 2])
def test_everything_is_counted(tmp_path: Path, workers: int) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (30, 20)).save(tmp_path / name / "x.jpg")
    Image.new("L", (8, 9)).save(tmp_path / "a" / "y.png")
    Image.new("CMYK", (10, 10)).save(tmp_path / "top.jpg")
    (tmp_path / "b" / "z.jpg").write_bytes((tmp_path / "b" / "x.jpg").read_bytes()[:-50])
    (tmp_path / "b" / "zero.png").touch()
    done: list[tuple[int, int]] = []
    found = check(str(tmp_path), lambda *state: done.append(state), workers)
    assert found.images == 6 and done[-1] == (6, 6)
    assert sorted(map(tuple, found.sizes.tolist())) == [(9, 8), (10, 10), (20, 30), (20, 30)]
    assert found.kinds == {"JPEG RGB": 2, "PNG L": 1, "JPEG CMYK": 1}
    assert next(iter(found.kinds)) == "JPEG RGB"
    assert found.classes == {"a": 2, "b": 3} and found.unlabelled == 1
    assert found.digest == data_digest(str(tmp_path))
    assert [line.split(" cannot")[0] for line in found.unreadable] == [
        f"{tmp_path}/b/z.jpg",
        f"{tmp_path}/b/zero.png",
    ]


def test_arrays_have_a_kind_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 5, 6, 3), np.uint8), labels=["b", "a", "b"])
    found = check(str(tmp_path / "x.npz"), workers=0)
    assert found.kinds == {"array, 3 channels": 3} and found.classes == {"a": 1, "b": 2}
    assert found.sizes.tolist() == [[5, 6]] * 3 and not found.unreadable


def test_bands_are_counted_and_odd_images_named(tmp_path: Path) -> None:
    images = {f"{i}.tif": tiff(field(i)) for i in range(3)}
    images["3.tif"] = tiff(field(3)[..., :4])
    images["4.tif"] = images["0.tif"][:700]
    found = check(str(write_folder(tmp_path, images)), workers=0, bands=any_bands("all"))
    assert found.kinds == {"TIFF uint16, 12 bands": 3, "TIFF uint16, 4 bands": 1}
    cut, odd = found.unreadable
    assert "4.tif cannot be read" in cut and "3.tif has 4 bands, most images have 12" in odd


def test_missing_numbers_are_a_fault_until_they_are_filled(tmp_path: Path) -> None:
    image = field(0).astype(np.float32)
    image[3, 4, :2] = np.nan
    data = str(write_folder(tmp_path, {"0.npy": npy(image), "1.npy": npy(field(1))}))
    (fault,) = check(data, workers=0, bands=any_bands("all")).unreadable
    assert "0.npy has 2 numbers of 3,072 that are NaN" in fault
    filled = check(data, workers=0, bands=any_bands("all", fill=0.0))
    assert not filled.unreadable and filled.filled == 2
