from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mae_core.data.check import check
from mae_core.data.sources import data_digest


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
