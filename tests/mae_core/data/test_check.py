import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mae_core import UserError
from mae_core.data.bands import Bands, any_bands
from mae_core.data.check import check
from mae_core.data.sources import data_digest
from mae_core.notices import say
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


def test_images_of_several_pages_are_counted(tmp_path: Path) -> None:
    pages = [Image.new("L", (8, 8), shade) for shade in (1, 2)]
    pages[0].save(tmp_path / "0.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "1.tif")
    found = check(str(tmp_path), workers=0)
    assert found.kinds == {"TIFF L, the first of several pages or frames": 1, "TIFF L": 1}


def test_arrays_that_seem_to_have_their_bands_first_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    say.cache_clear()
    image = field(0)
    data = str(write_folder(tmp_path / "a", {"0.npy": npy(image)}))
    check(data, workers=0, bands=any_bands("all"))
    assert "look like" not in caplog.text
    data = str(write_folder(tmp_path / "b", {"0.npy": npy(image.transpose(2, 0, 1))}))
    check(data, workers=0, bands=any_bands("all"))
    assert "look like (bands, H, W)" in caplog.text and "b/0.npy" in caplog.text


@pytest.mark.parametrize("bands", [None, any_bands("all")])
def test_too_little_memory_is_one_message(tmp_path: Path, bands: Bands | None) -> None:
    """An image of which nothing is wrong but that no machine has so much memory."""
    Image.new("L", (1 << 20, 1 << 20 >> 14)).save(tmp_path / "0.png")
    limit = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), limit[1]))
    try:
        with pytest.raises(UserError, match=r"0\.png takes more memory than there is") as error:
            check(str(tmp_path), workers=0, bands=bands)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    assert "repair" not in str(error.value)
