from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mae_core import UserError
from mae_core.agreement import check_keys
from mae_core.config import CONFIG_ROOT, load_config

CONFIGS = [
    path
    for path in sorted(CONFIG_ROOT.rglob("*.py"))
    if path.parent.name not in ("_base_", "benchmarks", "sweeps")
]


@pytest.fixture
def config() -> Config:
    return load_config("pretrain/vit-micro-p6_1xb128-24e_demo")


def fault(config: Config) -> str:
    with pytest.raises(UserError) as error:
        check_keys(config)
    return str(error.value)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_our_configs_agree_with_themselves(path: Path) -> None:
    check_keys(load_config(str(path)))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train_cfg.max_epochs", 0, "train_cfg.max_epochs=0: expected a whole number"),
        ("train_cfg.max_epochs", 1.5, "train_cfg.max_epochs=1.5"),
        ("train_dataloader.batch_size", 0, "train_dataloader.batch_size=0"),
        ("threads", 0, "threads=0: expected a whole number of at least 1"),
        ("train_dataloader.num_workers", -1, "train_dataloader.num_workers=-1"),
        ("pixels.mean", [1.0], "pixels.mean has 1 numbers, encoder.in_chans=3"),
        ("pixels.std", [1.0, 0.0, 1.0], "pixels.std=[1.0, 0.0, 1.0]: expected numbers above 0"),
        ("pixels.mean", ["a", "b", "c"], "pixels.mean=['a', 'b', 'c']: expected numbers"),
        ("protocol", "data", "protocol='data': expected 'own' or 'same'"),
        ("pixels_of", "encoder", "pixels_of is called protocol now: 'own'"),
        ("preview.in_chans", 1, "preview.in_chans=1, encoder.in_chans=3"),
        ("preview.bands", [3, 1], "preview.bands=[3, 1], in_chans=2, encoder.in_chans=3"),
        (
            "preview.transform.input_size",
            24,
            "preview.transform.input_size=24, encoder.img_size=30",
        ),
        ("encoder.patch_size", 0, "patch_size=0: expected"),
    ],
)
def test_a_contradiction_names_its_keys(config: Config, key: str, value: Any, message: str) -> None:
    config.merge_from_dict({key: value})
    assert message in fault(config)


def test_a_smaller_encoder_lacks_blocks_that_a_recipe_names() -> None:
    config = load_config("detect/mask-rcnn_vit-base-p16_1xb4-amp-1x_coco")
    check_keys(config)
    config.encoder.depth = 4
    assert "names block 11 of the encoder, which has blocks 0 to 3" in fault(config)
    config.activation_checkpointing = None
    check_keys(config)


def test_all_faults_are_told_at_once(config: Config) -> None:
    config.encoder.in_chans = 1
    config.train_cfg.max_epochs = 0
    found = fault(config)
    for key in ("max_epochs", "pixels.mean", "pixels.std", "train_dataloader.dataset", "preview"):
        assert key in found


def test_the_transform_of_one_set_is_checked_as_it_comes_out() -> None:
    config = load_config("evaluate/vit-base-p16_in1k")
    assert config.sets[-1].transform == {"crop_pct": 1.0}
    config.sets[-1].transform.input_size = 256
    assert "sets.5.transform.input_size=256, encoder.img_size=224" in fault(config)


def test_a_size_may_be_a_side_or_both(config: Config) -> None:
    config.encoder.img_size = [30, 60]
    assert "input_size=30, encoder.img_size=(30, 60)" in fault(config)
    for images in (config.preview, config.train_dataloader.dataset):
        images.transform.input_size = (30, 60)
    check_keys(config)


@pytest.mark.parametrize("stage", ["finetune", "evaluate", "detect"])
def test_other_stages_are_checked_too(stage: str) -> None:
    paths = {path.parent.name: path for path in CONFIGS if "demo" in path.stem}
    config = load_config(str(paths[stage]))
    config.encoder.in_chans = 1
    assert "encoder.in_chans=1" in fault(config)


def test_what_training_from_scratch_changes_is_checked(config: Config) -> None:
    config.scratch = {"preview": {"transform": {"input_size": 36}}}
    assert "preview.transform.input_size=36" in fault(config)
