import pytest

from downstream.classification.imagenet import ALEXNET, columns_of, mean_corruption_error, synsets
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


def test_mce_is_1_for_alexnet_and_by_hand_for_another() -> None:
    alexnet = {name: [error] * 5 for name, error in ALEXNET.items()}
    assert mean_corruption_error(alexnet) == pytest.approx(1.0)
    half = {**alexnet, "fog": [0.0, 0.1, 0.2, 0.3, 0.4]}
    assert mean_corruption_error(half) == pytest.approx((14 + 0.2 / 0.819324) / 15)


def test_mce_needs_every_corruption_and_severity() -> None:
    errors = {name: [0.5] * 5 for name in ALEXNET if name != "frost"}
    errors["snow"] = [0.5] * 4
    with pytest.raises(UserError, match="frost, snow"):
        mean_corruption_error(errors)
