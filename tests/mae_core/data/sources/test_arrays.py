from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mae_core import UserError
from mae_core.data.sources.arrays import ArraySource
from mae_core.data.sources.base import NO_LABEL

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (4, 6, 5, 3), dtype=np.uint8)


def saved(folder: Path, **arrays: NDArray[Any]) -> Path:
    np.savez_compressed(folder / "x.npz", **arrays)
    return folder / "x.npz"


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3), (6, 5, 10)])
def test_pixels_come_as_stored_without_a_single_channels_axis(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    images = RNG.integers(0, 255, (4, *shape), dtype=np.uint8)
    source = ArraySource(saved(tmp_path, images=images))
    assert len(source) == 4
    assert np.array_equal(source.read(2), images[2].squeeze())
    assert source.name(2) == f"{tmp_path}/x.npz/2"
    assert (source.classes, source.labels.tolist()) == ([], [NO_LABEL] * 4)


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ([2, 0, 0, 2], ["0", "1", "2"], [2, 0, 0, 2]),
        (["b10", "b9", "b9", "a"], ["a", "b9", "b10"], [2, 1, 1, 0]),
    ],
)
def test_labels_are_numbers_or_names(
    tmp_path: Path, labels: list[Any], classes: list[str], expected: list[int]
) -> None:
    source = ArraySource(saved(tmp_path, images=IMAGES, labels=np.array(labels)))
    assert source.classes == classes
    assert source.labels.dtype == np.int64
    assert source.labels.tolist() == expected


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": IMAGES}, r"no array 'images'; it has x"),
        ({"images": IMAGES * 1j}, r"type complex128: expected .*real numbers"),
        ({"images": IMAGES > 9}, r"type bool: expected .*real numbers"),
        ({"images": IMAGES[0, 0]}, r"shape \(5, 3\)"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, r"shape \(4, 3, 6, 5\).*channels last"),
        ({"images": IMAGES[:0]}, r"shape \(0, 6, 5, 3\)"),
        ({"images": IMAGES, "labels": np.arange(3)}, r"'labels' of shape \(3,\).*expected \(4,\)"),
        ({"images": IMAGES, "labels": np.ones(4)}, r"type float64: expected .*integers or strings"),
        ({"images": np.array([None, 1])}, r"pickled objects .*numpy\.savez"),
    ],
)
def test_arrays_at_fault_are_described(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], message: str
) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(UserError, match=rf"{path} (has|holds) .*{message}"):
        ArraySource(path)


@pytest.mark.parametrize("keep", [0, 40, 300])
def test_a_damaged_file_is_named(tmp_path: Path, keep: int) -> None:
    path = saved(tmp_path, images=IMAGES)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=rf"{path} "):
        ArraySource(path)


def test_an_npy_under_the_name_of_an_npz_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(UserError, match=r"x\.npz holds .*savez"):
        ArraySource(tmp_path / "x.npz")


def test_flipped_bytes_are_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path, images=IMAGES)
    content = bytearray(path.read_bytes())
    content[150:160] = bytes(10)
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path} "):
        ArraySource(path)
