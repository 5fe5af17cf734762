from pathlib import Path

import pytest
from PIL import Image

from mae_core import UserError
from mae_core.data.bench import ADVICE, TRANSFER, bench, slowest


@pytest.mark.parametrize("workers", [0, 1])
def test_every_stage_of_the_loading_is_measured(images: Path, workers: int) -> None:
    (images / "train" / "class-0" / "damaged.png").write_bytes(b"no image")
    try:
        plain = bench(str(images / "train"), input_size=12, workers=workers)
        more = bench(str(images / "train"), 12, 2, "rand-m9-mstd0.5-inc1", workers)
    finally:
        (images / "train" / "class-0" / "damaged.png").unlink()
    assert set(plain.seconds) == set(ADVICE) - {"augment"}
    assert set(more.seconds) == set(ADVICE)
    for found in (plain, more):
        assert found.workers == workers and found.rate > 0 and found.bound in found.seconds
        assert all(seconds > 0 for seconds in found.seconds.values())


def test_workers_share_all_but_the_transfer_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"read": 1.0, "decode and crop": 3.0, TRANSFER: 2.0}
    for gpu, workers, expected in ((False, 8, "decode and crop"), (True, 8, TRANSFER)):
        monkeypatch.setattr("torch.cuda.is_available", lambda gpu=gpu: gpu)
        assert slowest(seconds, workers) == expected
    assert slowest(seconds, 1) == "decode and crop"


def test_nothing_readable_is_the_users_mistake(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="none of 1 images is readable"):
        bench(str(tmp_path), workers=0)
