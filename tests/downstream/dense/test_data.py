from pathlib import Path

import pytest

from downstream.dense.data import below, epochs_for, semantic_classes, typical_size
from downstream.dense.instances import check_instances, instance_splits
from mae_core import UserError
from tests.downstream.conftest import split_config


def test_data_that_the_digest_would_not_cover_is_refused(scenes: Path) -> None:
    fields = split_config(scenes)
    fields.train_data.images = "../elsewhere"
    with pytest.raises(UserError, match="outside data_root"):
        instance_splits(fields)


def test_links_that_the_config_names_are_followed(scenes: Path) -> None:
    root = scenes / "mine"
    root.mkdir()
    before = instance_splits(split_config(scenes))
    for name in ("train", "val", "instances_train.json", "instances_val.json"):
        (root / name).symlink_to(scenes / name)
    (scenes / "root").symlink_to(root)
    found = instance_splits(split_config(scenes / "root"))
    assert {name: split.content for name, split in found.items()} == {
        name: split.content for name, split in before.items()
    }
    check_instances(found)


@pytest.mark.parametrize("images", ["train/../../elsewhere", "/", "../mine2"])
def test_dots_after_a_link_do_not_lead_beside_its_target(images: str, scenes: Path) -> None:
    """The digest follows links from the root; what is beside their targets it does not see."""
    fields = split_config(scenes)
    fields.train_data.images = images
    with pytest.raises(UserError, match="outside data_root"):
        instance_splits(fields)
    (scenes / "link").symlink_to(scenes.parent)
    assert below(scenes, "link/../train") == scenes / "train"


def test_names_of_classes_lie_below_the_root_too(scenes: Path) -> None:
    with pytest.raises(UserError, match="outside data_root"):
        semantic_classes(split_config(scenes / "train", train_data={"annotations": "../x.json"}))


def test_classes_are_named_by_the_config_the_annotations_or_mmseg(scenes: Path) -> None:
    assert semantic_classes(split_config(scenes)) == ("background", "small", "large")
    assert semantic_classes(split_config(scenes, classes=["sky", "sea"])) == ("sky", "sea")
    assert len(semantic_classes(split_config(scenes, classes="ADE20KDataset"))) == 150
    with pytest.raises(UserError, match="no such data set"):
        semantic_classes(split_config(scenes, classes="ADE21KDataset"))
    fields = split_config(scenes)
    del fields.train_data.annotations
    with pytest.raises(UserError, match="which class is which"):
        semantic_classes(fields)


def test_sizes_and_schedule_follow_from_the_data() -> None:
    assert typical_size([(100, 300), (200, 200), (310, 250)], multiple=32, most=1024) == 224
    assert typical_size([(5000, 5000)], multiple=14, most=1024) == 1022
    assert epochs_for(updates=1000, images=100, batch=10) == 100
    assert epochs_for(updates=10, images=3, batch=8) == 10
