from pathlib import Path
from typing import Any

import pytest

from downstream.classification import finetune
from mae_core import UserError, pretrain
from mae_core.config import load_config
from mae_core.engine.auto_batch import candidates
from tests.line import Notes

AUTO, UPDATE = "train_dataloader.batch_size=auto", "effective_batch=16"


def run(configs: Path, folder: Path, *overrides: str) -> tuple[Any, Notes]:
    notes = Notes()
    config = load_config(str(configs / "pretrain.py"), overrides=[AUTO, *overrides])
    pretrain.run(config, "random", folder, notes)
    return config.train_dataloader.batch_size, notes


def test_the_largest_fitting_batch_is_taken_and_found_again(configs: Path, tmp_path: Path) -> None:
    size, notes = run(configs, tmp_path / "a", UPDATE)
    assert size == 16
    assert notes.notes[0].startswith("batch_size=auto: 16 images at once on each device")
    assert run(configs, tmp_path / "a", UPDATE)[0] == 16
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "batch_size.txt").write_text("8")
    assert run(configs, tmp_path / "b", UPDATE)[0] == 8


def test_it_divides_the_effective_batch_and_memory_bounds_it(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(configs, tmp_path / "a", "effective_batch=12")[0] == 12
    monkeypatch.setattr("mae_core.engine.auto_batch.step_memory", lambda *given: given[-1] << 20)
    monkeypatch.setattr("mae_core.engine.auto_batch.free_memory", lambda: 9 << 20)
    assert run(configs, tmp_path / "b", "effective_batch=12")[0] == 6  # 0.85 of 9 MiB
    monkeypatch.setattr("mae_core.engine.auto_batch.free_memory", lambda: 0)
    with pytest.raises(UserError, match=r"a step of 4 images needs 0.0 GiB.*smaller model"):
        run(configs, tmp_path / "c", UPDATE)


def test_the_draws_of_a_training_do_not_change_with_it(configs: Path, tmp_path: Path) -> None:
    fixed = load_config(str(configs / "pretrain.py"), overrides=["train_dataloader.batch_size=16"])
    expected = pretrain.run(fixed, "random", tmp_path / "a", Notes())
    auto = load_config(str(configs / "pretrain.py"), overrides=[AUTO, UPDATE])
    assert pretrain.run(auto, "random", tmp_path / "b", Notes()).metrics == expected.metrics


def test_candidates_divide_a_device_s_share(configs: Path) -> None:
    config = load_config(str(configs / "pretrain.py"), overrides=["effective_batch=12"])
    assert candidates(config) == [1, 2, 3, 4, 6, 12]
    config.mixing = {"mixup_alpha": 0.8}
    assert candidates(config) == [2, 4, 6, 12]  # pairs stay together
    config.mixing, config.train_dataloader.dataset.repeats = None, 2
    assert candidates(config) == [1, 2, 3, 6]


def test_fine_tuning_takes_it_too_and_repeats_count(configs: Path, tmp_path: Path) -> None:
    config = load_config(str(configs / "finetune.py"), overrides=[AUTO])
    config.train_dataloader.dataset.repeats, config.train_dataloader.drop_last = 2, True
    config.effective_batch = 32
    config.train_dataloader.collate_fn = {"type": "collate_views"}
    finetune.fit(config, "random", *finetune.open_images(config), tmp_path, Notes())
    assert config.train_dataloader.batch_size == 16


def test_the_machine_chooses_no_batch_of_which_the_encoder_sees_all(configs: Path) -> None:
    config = load_config(str(configs / "finetune.py"), overrides=[AUTO])
    config.effective_batch = 16
    finetune.check(config, "random")
    config.encoder = {"arch": "timm:test_resnet", "img_size": 30}
    with pytest.raises(UserError, match="batch_size=auto: here the result depends on it"):
        finetune.check(config, "random")
