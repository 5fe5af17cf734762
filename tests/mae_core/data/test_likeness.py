import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mae_core.data import likeness
from mae_core.data.likeness import (
    ALIKE,
    CANDIDATE,
    CROPS,
    PAIR,
    SIDE,
    aligned,
    alike,
    candidates,
    crops_described,
    described,
    is_flat,
    nearest,
    thumbnail,
)


def smooth(count: int, seed: int = 0, side: int = 48) -> np.ndarray:
    """(count, side, side, 3) uint8, different pictures."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 7, 7, 3), dtype=np.uint8)
    scaled = [cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) for image in coarse]
    return np.stack(scaled)


def thumbnails(images: np.ndarray) -> np.ndarray:
    return np.stack([thumbnail(image) for image in images])


@pytest.fixture(scope="module")
def some() -> np.ndarray:
    return thumbnails(smooth(40))


def test_descriptions_are_those_of_the_cosine_transform(some: np.ndarray) -> None:
    """OpenCV's, as an independent reference."""
    for image, found in zip(some, described(some, 8), strict=True):
        frequencies = cv2.dct(image.astype(np.float64))[:8, :8].copy()
        frequencies[0, 0] = 0
        expected = np.sign(frequencies) * np.sqrt(np.abs(frequencies))
        expected /= np.linalg.norm(expected)
        np.testing.assert_allclose(found, expected.ravel(), atol=1e-4)


def test_the_first_crop_is_the_whole_and_others_are_what_they_say(some: np.ndarray) -> None:
    crops = crops_described(some[:1])
    assert crops.shape == (1, len(CROPS) ** 2, 144)
    torch.testing.assert_close(crops[:, 0], described(some[:1], 12))
    top, left = 0.05, 0.025
    way = CROPS.index((top, 0)) * len(CROPS) + CROPS.index((left, 0))
    large = cv2.resize(some[0], (640, 640), interpolation=cv2.INTER_LINEAR)
    cut = thumbnail(np.repeat(large[int(640 * top) :, int(640 * left) :, None], 3, 2))
    assert (described(cut[None], 12) * crops[0, way]).sum() > 0.99


@settings(max_examples=25, deadline=None)
@given(
    number=st.integers(0, 10**6),
    brightness=st.floats(0.8, 1.2),
    top=st.floats(0, 0.05),
    right=st.floats(0, 0.05),
    mirrored=st.booleans(),
)
def test_a_copy_is_found_however_it_was_cropped_lit_and_turned(
    number: int, brightness: float, top: float, right: float, mirrored: bool
) -> None:
    image = smooth(1, number, side=200)[0] // 2 + 50
    copy = np.clip(image * brightness, 0, 255).astype(np.uint8)
    copy = copy[int(200 * top) :, : 200 - int(200 * right)]
    copy = copy[:, ::-1] if mirrored else copy
    one, other = thumbnails([np.ascontiguousarray(copy)]), thumbnails([image])
    for pairs in (alike(one, other), alike(other, one)):
        assert len(pairs) == 1 and pairs["mirrored"][0] == mirrored
        assert pairs["similarity"][0] >= ALIKE


def test_pairs_are_those_of_a_plain_loop_whatever_the_blocks(
    some: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = some[:16]
    noisy = np.clip(some.astype(int) + np.random.default_rng(1).integers(-9, 9, some.shape), 0, 255)
    both = np.concatenate([some, noisy.astype(np.uint8)[::2], some[:5, :, ::-1]])
    whole = alike(both, None)
    monkeypatch.setattr(likeness, "ROWS", 7)
    monkeypatch.setattr(likeness, "COLUMNS", 5)
    monkeypatch.setattr(likeness, "CHUNK", 3)
    np.testing.assert_array_equal(alike(both, None), whole)
    expected = set()
    for one in range(len(both)):
        for other in range(one):
            for seen in (both, both[..., ::-1].copy()):
                numbers = np.array([one]), np.array([other])
                if aligned(seen, numbers[0], both, numbers[1])[0] >= ALIKE:
                    expected.add((one, other))
    assert set(map(tuple, whole[["one", "other"]].tolist())) <= expected
    assert set(whole["one"]) == {one for one, _ in expected}
    assert len(expected) >= 13


def test_candidates_are_all_products_above_the_threshold() -> None:
    rows = torch.nn.functional.normalize(torch.randn(30, 4, generator=torch.manual_seed(0)), dim=1)
    found = candidates(rows, rows, 0, False)
    near = (rows @ rows.T >= CANDIDATE).nonzero(as_tuple=True)
    assert set(zip(*map(list, found), strict=True)) == set(
        zip(near[0].tolist(), near[1].tolist(), strict=True)
    )
    before = candidates(rows[10:], rows, 10, True)
    assert len(before[0]) and (before[1] < before[0] + 10).all()


def test_the_nearest_pair_of_every_image_is_kept() -> None:
    pairs = np.array(
        [
            (0, 0, 0.97, False, False),
            (0, 1, 0.99, False, False),
            (1, 1, 0.96, False, False),
            (2, 1, 0.98, True, False),
            (3, 2, 1.0, False, True),
            (3, 3, 1.0, False, False),
        ],
        dtype=PAIR,
    )
    kept = nearest(pairs)
    assert kept[["one", "other"]].tolist() == [(0, 0), (0, 1), (1, 1), (2, 1), (3, 2), (3, 3)]
    more = np.concatenate([pairs, np.array([(1, 0, 0.955, False, False)], dtype=PAIR)])
    np.testing.assert_array_equal(nearest(more), kept)


def test_flat_images_are_told_and_nothing_is_compared_without_images() -> None:
    flat = np.full((2, SIDE, SIDE), 7, dtype=np.uint8)
    flat[1, ::2] += 1
    assert is_flat(np.concatenate([flat, thumbnails(smooth(1))])).tolist() == [True, True, False]
    assert not len(alike(flat[:0], None)) and not len(alike(thumbnails(smooth(2)), flat[:0]))
    assert thumbnail(np.zeros((3, 900, 5), dtype=np.uint8)).shape == (SIDE, SIDE)
