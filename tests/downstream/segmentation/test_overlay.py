import numpy as np

from downstream.segmentation.overlay import painted_labels, tint, tone


def test_background_and_ignored_pixels_keep_their_colour() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    tinted = tint(image, np.array([[0, 255], [1, 2]]), ("background", "small", "large"))
    assert (tinted[0] == 100).all()
    assert (tinted[1] != 100).any(axis=-1).all()


def test_without_a_background_every_class_is_painted() -> None:
    assert painted_labels(("sky", "sea"), {0, 1, 255}) == {0, 1}
    assert painted_labels(("background", "sea"), {0, 1, 255}) == {1}
    assert (tone(0, ("sky", "sea")), tone(1, ("background", "sea"))) == (0, 0)
