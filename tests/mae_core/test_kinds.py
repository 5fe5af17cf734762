from typing import Any

import pytest
from mmengine.config import Config

from mae_core import UserError
from mae_core.kinds import EVERY, check_kinds

WRONG = [
    ("seed", "1"),
    ("seed", True),
    ("seed", -1),
    ("held_out", 1),
    ("encoder", "vit"),
    ("train_data", {"data": "x", "transform": 5}),
    ("train_data", {"data": "x", "per_class": 2.5}),
    ("train_dataloader", {"dataset": {"data": "x", "names_in": 5}}),
    ("sets", [{"bands": 5}]),
    ("sets", []),
    ("optim_wrapper", {"optimizer": {"lr": "1e-3"}}),
    ("activation_checkpointing", "encoder.blocks.0"),
]


@pytest.mark.parametrize(("key", "value"), WRONG, ids=str)
def test_a_value_of_another_kind_is_told_with_its_place(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"{key}.*=.*: expected "):
        check_kinds(Config({key: value}))


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(UserError, match=r"seed='x': expected .*; pixels=5: expected a dict"):
        check_kinds(Config({"seed": "x", "pixels": 5}))


def test_keys_need_not_be_there() -> None:
    check_kinds(Config({}))
    assert all(kind.said for kind in EVERY.values())
