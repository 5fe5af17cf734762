from pathlib import Path

import numpy as np
import torch

from downstream.outcomes import (
    Episodes,
    Grouped,
    Resampled,
    in_groups,
    load_outcomes,
    save_outcomes,
)
from mae_core.data.sources.base import Groups


def test_every_kind_is_read_as_it_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, other = rng.integers(0, 70_000, (2, 6, 3, 5))
    classes = rng.integers(0, 300, (6, 3))
    draws = {
        "few-shot/3way1shot": Episodes(rng.random((6, 3, 4)) < 0.5, images, classes),
        "few-shot/3way1shot_ridge": Episodes(rng.random((6, 3, 4)) < 0.5, images, classes),
        "few-shot/3way2shot": Episodes(rng.random((6, 3, 3)) < 0.5, other, classes, True),
    }
    correct = torch.rand(7) < 0.5
    resampled = Resampled(rng.random(5))
    written = save_outcomes(tmp_path, {"knn/top1": correct, "segment/mIoU": resampled, **draws})
    found = load_outcomes(Path(written["outcomes"]))
    assert set(found) == {"knn/top1", "segment/mIoU", *draws}
    assert np.array_equal(found["knn/top1"], correct.numpy())
    read = found["segment/mIoU"]
    assert isinstance(read, Resampled) and np.array_equal(read.values, resampled.values)
    for name, expected in draws.items():
        episodes = found[name]
        assert isinstance(episodes, Episodes) and episodes.same_draw(expected)
        assert np.array_equal(episodes.correct, expected.correct)
        assert np.array_equal(episodes.classes, expected.classes)
    with np.load(written["outcomes"]) as stored:
        assert sum(name.endswith(":images") for name in stored.files) == 2  # heads share a draw


def test_groups_are_read_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    groups = Groups([f"p{i}" for i in range(300)], rng.integers(0, 300, 50))
    right = torch.rand(3, 50) < 0.5
    episodes = Episodes(
        rng.random((6, 3, 4)) < 0.5,
        rng.integers(0, 50, (6, 3, 5)),
        rng.integers(0, 4, (6, 3)),
        groups=groups.of,
    )
    outcomes = {
        "knn/top1": in_groups(right[0], groups),
        "knn/top1_k5": in_groups(right[1], groups),
        "low-shot/1pct_probe": in_groups(right, groups),
        "few-shot/3way1shot": episodes,
        "evaluate/x": in_groups(right[0], None),
    }
    found = load_outcomes(Path(save_outcomes(tmp_path, outcomes)["outcomes"]))
    for name, expected in outcomes.items():
        read = found[name]
        if isinstance(expected, Grouped):
            assert isinstance(read, Grouped) and read.same_groups(expected)
            assert np.array_equal(read.values, expected.values)
    read = found["few-shot/3way1shot"]
    assert isinstance(read, Episodes) and read.same_draw(episodes)
    assert isinstance(found["evaluate/x"], np.ndarray)
    with np.load(tmp_path / "outcomes.npz") as stored:
        assert sum(name.startswith("groups:") for name in stored.files) == 1
