from itertools import product

import numpy as np
import pytest

from downstream.classification.imagenet import (
    ALEXNET,
    columns_of,
    corruption_errors,
    corruption_grid,
    synsets,
)
from mae_core import UserError


def test_folders_are_the_classifiers_names_in_any_number() -> None:
    names = synsets()
    assert len(names) == 1000 and names == sorted(names)
    assert columns_of([names[7], names[999]], names, "data") == [7, 999]


def test_folders_are_numbers_by_value_not_by_spelling() -> None:
    """ImageNet-V2's folders sort as 0, 1, 10, 100, ... in a listing."""
    folders = sorted(map(str, range(1000)))
    assert columns_of(folders, synsets(), "data") == [int(folder) for folder in folders]


@pytest.mark.parametrize("folders", [["n01440764", "hat"], ["3", "1000"]])
def test_an_unknown_class_is_the_users_mistake(folders: list[str]) -> None:
    with pytest.raises(UserError, match=r"imagenet-x has the class '(hat|3)', which is none"):
        columns_of(folders, synsets(), "imagenet-x")


IMAGES = ("n01/a.png", "n02/a.png", "n02/b.png")


def paths(corruptions: tuple[str, ...] = tuple(ALEXNET)) -> list[str]:
    parts = product(corruptions, "12345", IMAGES)
    return [f"imagenet-c/{corruption}/{severity}/{image}" for corruption, severity, image in parts]


def test_mce_is_1_for_alexnet_and_by_hand_for_another() -> None:
    alexnet = {name: np.full(4, error) for name, error in ALEXNET.items()}
    assert corruption_errors(alexnet) == pytest.approx(np.ones(4))
    other = {**alexnet, "fog": np.array([0.0, 0.1, 0.2, 0.5]), "speckle_noise": np.ones(4)}
    by_hand = (14 + 0.2 / 0.819324) / 15
    assert corruption_errors(other).mean() == pytest.approx(by_hand)


def test_mce_needs_every_corruption_and_severity() -> None:
    found = paths(tuple(name for name in ALEXNET if name != "frost"))
    with pytest.raises(UserError, match="frost, snow"):
        corruption_grid(path for path in found if "/snow/4/" not in path)


def test_copies_of_an_image_are_found_in_any_order() -> None:
    found = paths()
    np.random.default_rng(0).shuffle(found)
    names, places = corruption_grid(found)
    assert sorted(names) == sorted(ALEXNET) and places.shape == (15, 5, 3)
    assert sorted(places.flatten()) == list(range(225))
    for corruption, row in zip(names, places, strict=True):
        assert all(f"/{corruption}/" in found[place] for place in row.flatten())
    for copies in places.reshape(75, 3).T:
        assert len({found[place].split("/", 3)[3] for place in copies}) == 1
        assert len({tuple(found[place].split("/", 3)[1:3]) for place in copies}) == 75


def test_corruptions_of_different_images_are_the_users_mistake() -> None:
    found = paths()
    for odd in (found[:-1], [*found, found[-1]], [*found[:-1], "c/jpeg_compression/5/n02/c.png"]):
        with pytest.raises(UserError, match="corrupted images are not the same"):
            corruption_grid(odd)
    with pytest.raises(UserError, match="expected <corruption>/<severity>/<class>/<image>"):
        corruption_grid(["c/n01/a.png"])
