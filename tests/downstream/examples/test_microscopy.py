import re
from pathlib import Path

import numpy as np

from downstream.dense.coco import read_coco
from downstream.examples.microscopy import GAIN, OFFSET, READ_NOISE, WHITE, cut, recorded, tiles
from mae_core.config import load_config


def test_nuclei_count_in_the_tile_that_has_their_centre(nuclei: Path) -> None:
    found = [tile for tile in cut(read_coco(nuclei)) if tile.photo == 0]
    assert [(tile.row, tile.column) for tile in found] == [
        (row, column) for row in (0, 96) for column in (0, 96, 192)
    ]
    assert [tile.nuclei for tile in found] == [4, 0, 0, 0, 1, 0]


def test_labels_are_counts_and_names_are_places(nuclei: Path) -> None:
    made = dict(tiles(str(nuclei), 12, seed=0))
    many = {name for name in made if name.startswith("many/")}
    assert many == {"many/00000_0000_0000.tif", "many/00001_0000_0000.tif"}
    assert len(made) == 12
    pattern = load_config("knn/vit-micro-p8_k20_microscopy").train_data.group
    photos = {re.search(pattern, name)[1] for name in made}  # type: ignore[index]
    assert photos == {"00000", "00001"}
    for tile in made.values():
        assert tile.shape == (96, 96) and tile.dtype == np.uint16


def test_noise_is_that_of_the_camera() -> None:
    """Photon transfer: the variance of a level is gain times signal, and that of the reading."""
    for level in (0, 50, 255):
        light = np.full((400, 400), level, np.uint8)
        stored = recorded(light, np.random.default_rng(level)).astype(float)
        electrons = level / 255 * WHITE
        variance = GAIN**2 * (electrons + READ_NOISE**2) + 1 / 12  # the last of rounding
        mean_error = np.sqrt(variance / light.size)
        assert abs(stored.mean() - OFFSET - GAIN * electrons) < 5 * mean_error
        assert np.isclose(stored.var(), variance, rtol=0.03)


def test_a_tile_does_not_depend_on_how_many_there_are(nuclei: Path) -> None:
    few, all_of_them = (dict(tiles(str(nuclei), count, seed=0)) for count in (4, 12))
    assert few.keys() < all_of_them.keys()
    assert all(np.array_equal(few[name], all_of_them[name]) for name in few)
