from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from PIL import Image

from downstream.classification import finetune
from mae_core import UserError, pretrain
from mae_core.checkpoints import load_encoder, read_metadata, read_state
from mae_core.engine.config import load_config
from mae_core.stage import SilentReporter, StageResult
from tests.faults import arm

EPOCH = 4  # steps


def config_of(configs: Path, *overrides: str, stage: str = "pretrain") -> Config:
    return load_config(str(configs / f"{stage}.py"), overrides=overrides)


def run(config: Config, folder: Path, stage: Any = pretrain) -> StageResult:
    MessageHub._instance_dict.clear()  # as in a new process
    return stage.run(config, "random", folder, SilentReporter())


def weights(result: StageResult, name: str = "mae") -> dict[str, torch.Tensor]:
    return read_state(result.artifacts.get(name) or str(result.checkpoint))


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(first[key], second[key]) for key in first)


def test_the_stage_yields_an_encoder_that_loads_alone_and_a_picture(
    configs: Path, tmp_path: Path
) -> None:
    result = run(config_of(configs), tmp_path / "work")
    assert 0 < result.metrics["pretrain/loss"].value < 3
    assert result.files_exist()
    assert load_encoder(str(result.checkpoint)).width == 16
    stored = weights(result)
    assert same(
        weights(result, "encoder"),
        {k.removeprefix("encoder."): v for k, v in stored.items() if k.startswith("encoder.")},
    )
    assert read_metadata(result.artifacts["mae"])["mae"]["decoder_width"] == 16
    picture = np.asarray(Image.open(result.artifacts["reconstruction"]).convert("RGB"))
    assert picture.std() > 10


def test_the_seed_alone_decides_the_weights(configs: Path, tmp_path: Path) -> None:
    short = "train_cfg.max_epochs=1"
    first, again, other = (
        weights(run(config_of(configs, short, f"seed={seed}"), tmp_path / name))
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert same(first, again)
    assert not torch.equal(first["encoder.cls_token"], other["encoder.cls_token"])


def test_the_seed_decides_the_initial_weights_too(configs: Path, tmp_path: Path) -> None:
    still = ("train_cfg.max_epochs=1", "optim_wrapper.optimizer.lr=0.0")
    first, other = (
        weights(run(config_of(configs, *still, f"seed={seed}"), tmp_path / str(seed)))
        for seed in (0, 1)
    )
    assert not torch.equal(first["encoder.cls_token"], other["encoder.cls_token"])


@pytest.mark.parametrize("step", [2, 3 * EPOCH, 4 * EPOCH + 1])
def test_a_run_broken_off_and_resumed_ends_with_identical_weights(
    configs: Path, tmp_path: Path, step: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole = run(config_of(configs), tmp_path / "whole")
    arm(configs / "pretrain.fault", "raise", step)
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(config_of(configs), tmp_path / "broken")
    torch.rand(7)  # a new process starts with other random states
    resumed = run(config_of(configs), tmp_path / "broken")
    assert same(weights(whole), weights(resumed))
    assert whole.metrics == resumed.metrics
    log = "".join(path.read_text() for path in (tmp_path / "broken").rglob("*.log"))
    assert ("resumed epoch" in log) == (step > EPOCH)
    assert "weights_only" not in log + caplog.text


def test_a_resume_after_an_evaluation_is_exact_too(configs: Path, tmp_path: Path) -> None:
    config = config_of(configs, stage="finetune")
    whole = run(config, tmp_path / "whole", finetune)
    arm(configs / "finetune.fault", "raise", 3 * EPOCH - 1)  # evaluates after the second epoch
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(config, tmp_path / "broken", finetune)
    resumed = run(config, tmp_path / "broken", finetune)
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize("content", [b"PK damaged", b""])
def test_a_damaged_checkpoint_is_named_and_deleting_it_helps(
    configs: Path, tmp_path: Path, content: bytes
) -> None:
    config = config_of(configs)
    whole = run(config, tmp_path / "whole")
    arm(configs / "pretrain.fault", "raise", 3 * EPOCH)
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(config, tmp_path / "work")
    checkpoint = tmp_path / "work" / "epoch_3.pth"
    checkpoint.write_bytes(content)
    with pytest.raises(UserError, match=r"epoch_3\.pth is damaged.*delete it and run"):
        run(config, tmp_path / "work")
    checkpoint.unlink()
    assert same(weights(whole), weights(run(config, tmp_path / "work")))


def test_the_preview_is_spread_over_the_classes(configs: Path, images: Path) -> None:
    shown = pretrain.held_out_images(config_of(configs), count=4).float()
    left, right = shown[..., :6].mean((1, 2, 3)), shown[..., 6:].mean((1, 2, 3))
    assert (left > right).tolist() == [True, True, False, False]
    every = pretrain.held_out_images(config_of(configs), count=99)
    assert every.shape == (12, 3, 12, 12)
    assert every.dtype == torch.uint8
