import shutil
from pathlib import Path

import pytest

from mae_core import UserError
from mae_core.config import CONFIG_ROOT, load_config

CHOSEN = [
    "knn/vit-micro-p6_k20_demo",
    "pretrain/vit-micro-p6_1xb128-24e_demo_knn",
    "detect/mask-rcnn_vit-micro-p6_1xb4-2e_demo",
    "low_shot/vit-base-p16_in1k",
    "sweeps/mask-ratio_demo",
    "_base_/vitdet_mask_rcnn",
]


@pytest.mark.parametrize("name", CHOSEN)
def test_a_copied_config_is_the_same(tmp_path: Path, name: str) -> None:
    copy = tmp_path / "mine" / "own.py"
    copy.parent.mkdir()
    shutil.copy(CONFIG_ROOT / f"{name}.py", copy)
    config = load_config(str(copy))
    assert config.to_dict() == load_config(str(CONFIG_ROOT / f"{name}.py")).to_dict()
    assert config.filename == str(copy)


def test_every_config_can_be_copied(tmp_path: Path) -> None:
    for path in CONFIG_ROOT.rglob("*.py"):
        shutil.copy(path, tmp_path / "own.py")
        assert load_config(str(tmp_path / "own.py")).to_dict() == load_config(str(path)).to_dict()


def test_a_copy_of_a_copy_finds_both_and_keeps_its_own_words(tmp_path: Path) -> None:
    shutil.copy(CONFIG_ROOT / "knn/vit-micro-p6_k20_demo.py", tmp_path / "first.py")
    (tmp_path / "second.py").write_text(
        "a = 'ä'; _base_ = ['first.py',\n  '../_base_/sweep.py']\nk = 3"
    )
    config = load_config(str(tmp_path / "second.py"))
    assert (config.k, config.a, config.stage) == (3, "ä", "knn")


def test_a_file_that_is_where_it_says_comes_before_ours(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text("k = 7")
    (tmp_path / "own.py").write_text("_base_ = './demo.py'")
    assert load_config(str(tmp_path / "own.py")).to_dict() == {"k": 7}


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (
            "'no.py'",
            r"own\.py cannot be read: its _base_ 'no\.py' is neither at .*no\.py nor among",
        ),
        ("['../_base_/demo.py', '../_base_/dmeo.py']", r"its _base_ '\.\./_base_/dmeo\.py'"),
        ("'vit-base-p16_in1k.py'", r"may be any of .*evaluate/vit-base-p16_in1k\.py"),
        ("'own.py'", "cannot be read: "),
        ("''", "its _base_ ''"),
    ],
)
def test_a_base_that_is_nowhere_is_named(tmp_path: Path, base: str, message: str) -> None:
    (tmp_path / "own.py").write_text(f"_base_ = {base}")
    with pytest.raises(UserError, match=message):
        load_config(str(tmp_path / "own.py"))
