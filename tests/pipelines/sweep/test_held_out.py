"""Images that report a winner are no images that choose it."""

import inspect
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from mae_core import UserError
from mae_core.config import load_config
from mae_core.data.sources import open_source
from pipelines.sweep.held_out import CHOICE, evaluated_images, evaluated_sets, goal_stage
from pipelines.sweep.space import load_sweep
from tests.downstream.conftest import scenes  # noqa: F401  a fixture
from tests.pipelines.sweep.conftest import Write, halves

RATIOS = "{'pretrain.mae.mask_ratio': [0.5, 0.75]}"


def test_trials_are_tested_on_other_images_than_the_winner(write: Write, images: Path) -> None:
    keys = halves(images)
    sweep = load_sweep(write(RATIOS, **keys))
    values = sweep.grid()[1]
    chooses, reports = sweep.recipe_of(values), sweep.reported_recipe_of(values)
    names = [set(evaluated_images(one.configs["knn"])) for one in (chooses, reports)]
    assert [len(one) for one in names] == [15, 15] and not names[0] & names[1]
    pretrained = [one.configs["pretrain"].to_dict() for one in (chooses, reports)]
    assert pretrained[0] == pretrained[1] and pretrained[0]["mae"]["mask_ratio"] == 0.75
    plain = load_sweep(write(RATIOS, overrides=keys["overrides"]))
    assert plain.selecting == () and plain.key != sweep.key


def test_an_image_in_both_is_refused_also_through_a_link(
    write: Write, images: Path, tmp_path: Path
) -> None:
    half = halves(images)["select_on"]
    with pytest.raises(UserError, match=r"15 of the 30 images .* choose it too"):
        load_sweep(write(RATIOS, select_on=half))
    (tmp_path / "other").symlink_to(images / "val")
    link = f"{{'knn.val_data.data': '{tmp_path}/other'}}"
    with pytest.raises(UserError, match="30 of the 30 images"):
        load_sweep(write(RATIOS, select_on=link))


def test_images_that_end_trials_early_are_refused_too(
    write: Write, configs: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images / "val", tmp_path / "other")
    select_on = f"{{'knn.val_data.data': '{tmp_path}/other'}}"
    watched = "dict(metric='val/knn/top1')"
    for place, refused in (("val", True), ("train", False)):
        hook = (
            f"dict(type='EncoderMonitor', k=3, train_data=dict(data='{images}/train', "
            "transform=dict(input_size=12)), "
            f"val_data=dict(data='{images}/{place}', transform=dict(input_size=12)))"
        )
        path = configs / f"{place}.py"
        path.write_text(
            "_base_ = 'pretrain.py'\n"
            "custom_imports = dict(imports=['downstream.classification.monitor'])\n"
            f"custom_hooks = [{hook}]\n"
        )
        sweep = write(RATIOS, select_on=select_on, overrides=f"['pretrain={path}']")
        load_sweep(sweep)  # nothing is chosen by what nobody looks at
        pruned = write(
            RATIOS, select_on=select_on, overrides=f"['pretrain={path}']", pruning=watched
        )
        if refused:
            with pytest.raises(UserError, match=r"choose it too .*knn, pretrain"):
                load_sweep(pruned)
        else:
            load_sweep(pruned)


def test_the_images_of_each_stage_are_found(scenes: Path) -> None:  # noqa: F811
    splits = {
        "detect": dict(images="val", annotations="instances_val.json"),
        "segment": dict(images="val", masks="val_masks"),
    }
    train = dict(images="train", annotations="instances_train.json", masks="train_masks")
    for stage, val_data in splits.items():
        config = Config(dict(stage=stage, data_root=str(scenes), train_data=train))
        held_out = evaluated_images(config)
        assert held_out and all("/train/" in name for name in held_out)
        config.val_data = val_data
        expected = {str(path) for path in (scenes / "val").iterdir()}
        assert set(evaluated_images(config)) == expected


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k", 1, "data/imagenet/val"),
        ("partial_finetune/vit-large-p16_8xb128-amp-coslr-50e_in1k", 1, "data/imagenet/val"),
        ("knn/vit-micro-p4_k20_cifar10-20pct", 1, "data/val"),
        ("suite/vit-base-p16_vtab1k", 19, "data/vtab/caltech101/test"),
        ("evaluate/vit-base-p16_in1k", 6, "data/imagenet/val"),
        ("pretrain/vit-micro-p6_1xb128-24e_demo_knn", 1, "demo/classification/val"),
        ("pretrain/vit-micro-p4_1xb128-coslr-20e_small32", 0, ""),
    ],
)
def test_what_a_stage_is_tested_on_stands_in_its_config(name: str, count: int, first: str) -> None:
    found = [fields["data"] for fields in evaluated_sets(load_config(name))]
    assert len(found) == count and "".join(found[:1]) == first


def test_a_suite_is_tested_on_its_data_sets_alone() -> None:
    config = load_config("suite/vit-micro-p6_demo")
    config.datasets[0].val_data.data = "elsewhere"
    assert [fields["data"] for fields in evaluated_sets(config)] == ["elsewhere"]


def test_a_goal_names_its_stage() -> None:
    goals = ("fine-tune/top1", "pretrain/loss", "supervise/top1", "segment/mIoU")
    assert [goal_stage(one) for one in goals] == ["finetune", "pretrain", "supervise", "segment"]


def test_images_are_chosen_by_all_that_chooses_them() -> None:
    assert set(CHOICE) == set(inspect.signature(open_source).parameters) - {"data"}
