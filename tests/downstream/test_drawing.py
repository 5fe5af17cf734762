import numpy as np

from downstream.drawing import colour, paint
from mae_core.plots import PALETTE


def test_painting_changes_the_masked_pixels_only_and_a_copy() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    mask = np.eye(4, dtype=bool)
    painted = paint(image, mask, label=1, strength=1.0)
    assert (painted[mask] == [230, 159, 0]).all()
    assert (painted[~mask] == 100).all()
    assert (image == 100).all()


def test_more_classes_than_colours_repeat_them() -> None:
    assert colour(len(PALETTE)) == colour(0) != colour(1)
