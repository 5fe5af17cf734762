import numpy as np

from downstream.analysis.projection import neighbourhoods, patch_colours


def test_patches_of_a_kind_have_one_colour() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(4, size=(3, 5, 6))
    means = 10 * np.eye(4, 16)
    maps = (means[kinds] + 0.01 * rng.normal(size=(3, 5, 6, 16))).transpose(0, 3, 1, 2)
    colours = patch_colours(maps.astype(np.float32))
    assert colours.shape == (3, 5, 6, 3) and colours.min() >= 0 and colours.max() <= 1
    groups = [colours[kinds == kind] for kind in range(4)]
    assert max(group.std(axis=0).max() for group in groups) < 0.02
    centres = np.array([group.mean(axis=0) for group in groups])
    apart = np.linalg.norm(centres[:, None] - centres, axis=-1)
    assert apart[~np.eye(4, dtype=bool)].min() > 0.3


def test_neighbours_stay_near_and_the_seed_decides() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(3).repeat(15)
    x = (8 * np.eye(3, 10)[y] + rng.normal(size=(45, 10))).astype(np.float32)
    points = neighbourhoods(x, seed=0)
    apart = np.linalg.norm(points[:, None] - points, axis=-1) + 1e9 * np.eye(45)
    assert (y[apart.argmin(axis=1)] == y).all()
    assert np.array_equal(points, neighbourhoods(x, seed=0))
