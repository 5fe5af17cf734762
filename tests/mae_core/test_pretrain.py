from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from PIL import Image

from downstream.classification import finetune
from mae_core import UserError, create_model, pretrain
from mae_core.checkpoints import load_encoder, read_metadata, read_state
from mae_core.config import load_config
from mae_core.stage import SilentReporter, StageResult
from tests.faults import arm
from tests.line import Notes

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
    mae = read_metadata(result.artifacts["mae"])["mae"]
    assert (mae["decoder_width"], mae["masking"]) == (16, "random")
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


def test_the_average_of_the_weights_is_what_a_stage_with_ema_returns(
    configs: Path, tmp_path: Path
) -> None:
    """A short memory ends near the last weights, a long one far from them."""
    last = weights(run(config_of(configs), tmp_path / "last"))

    def distance(ema: float) -> float:
        found = weights(run(config_of(configs, f"ema={ema}"), tmp_path / str(ema)))
        return sum(float((found[key] - last[key]).abs().sum()) for key in last)

    assert 0 < distance(0.01) < distance(0.5) < distance(0.9)
    with pytest.raises(UserError, match=r"ema=1.5: .* between 0 and 1"):
        run(config_of(configs, "ema=1.5"), tmp_path / "wrong")


def test_a_resume_with_ema_is_exact_too(configs: Path, tmp_path: Path) -> None:
    config = config_of(configs, "ema=0.9")
    whole = run(config, tmp_path / "whole")
    arm(configs / "pretrain.fault", "raise", 4 * EPOCH + 1)
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(config, tmp_path / "broken")
    assert same(weights(whole), weights(run(config, tmp_path / "broken")))


@pytest.mark.slow
def test_a_compiled_run_ends_near_an_eager_one(configs: Path, tmp_path: Path) -> None:
    eager = run(config_of(configs, "train_cfg.max_epochs=1"), tmp_path / "eager")
    compiled = config_of(configs, "train_cfg.max_epochs=1", "compile=True")
    found = run(compiled, tmp_path / "compiled")
    assert weights(found).keys() == weights(eager).keys()
    loss, expected = found.metrics["pretrain/loss"], eager.metrics["pretrain/loss"]
    assert loss.value == pytest.approx(expected.value, rel=1e-3)


def test_without_a_c_compiler_it_is_not_compiled_and_says_so(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    told = Notes()
    assert not pretrain.is_compiled(config_of(configs), told)
    assert "no C compiler; install gcc or clang" in told.notes[0]
    with pytest.raises(UserError, match="compile=True: no C compiler"):
        pretrain.check(config_of(configs, "compile=True"), "random")
    monkeypatch.setenv("CC", "cc")
    assert pretrain.is_compiled(config_of(configs), told)
    assert not pretrain.is_compiled(config_of(configs, "compile=False"), told)


def test_on_cpus_compiling_needs_a_c_plus_plus_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch looks: g++, or what CXX names, whatever there is for C."""
    monkeypatch.setenv("CC", "gcc")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "C++ compiler, no 'g++'" in pretrain.lacking_compiler(on_gpu=False)
    monkeypatch.setenv("CXX", "mine -O2")
    assert "no 'mine'" in pretrain.lacking_compiler(on_gpu=False)
    (tmp_path / "mine").touch(mode=0o755)
    assert not pretrain.lacking_compiler(on_gpu=False)


def test_training_in_bfloat16_and_on_a_part_of_the_masked_patches_works(
    configs: Path, tmp_path: Path
) -> None:
    cheap = ("optim_wrapper.type=BFloat16OptimWrapper", "mae.decode_ratio=0.5", "mae.masking=block")
    result = run(config_of(configs, *cheap), tmp_path / "work")
    assert 0 < result.metrics["pretrain/loss"].value < 3
    assert read_metadata(result.artifacts["mae"])["mae"]["masking"] == "block"


def test_weight_decay_spares_vectors_and_fixed_positions_are_not_trained(configs: Path) -> None:
    """The paper's groups (A.1, after BEiT): biases and norms without decay, the tokens with it."""
    config = config_of(configs)
    mae = create_model(**config.encoder, **config.mae)
    groups = build_optim_wrapper(mae, config.optim_wrapper).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in mae.named_parameters():
        if parameter.requires_grad:
            assert decays[id(parameter)] == (0.05 if parameter.ndim > 1 else 0.0), name
        else:
            assert name.endswith("pos_embed")


def test_a_resume_after_an_evaluation_is_exact_too(configs: Path, tmp_path: Path) -> None:
    config = config_of(configs, stage="finetune")
    config.pop("scratch")
    whole = run(config, tmp_path / "whole", finetune)
    arm(configs / "finetune.fault", "raise", 3 * EPOCH - 1)  # evaluates after the second epoch
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(config, tmp_path / "broken", finetune)
    resumed = run(config, tmp_path / "broken", finetune)
    assert same(weights(whole), weights(resumed))


def test_the_preview_is_spread_over_the_classes(configs: Path, images: Path) -> None:
    shown = pretrain.preview_images(config_of(configs), count=4).float()
    left, right = shown[..., :6].mean((1, 2, 3)), shown[..., 6:].mean((1, 2, 3))
    assert (left > right).tolist() == [True, True, False, False]
    every = pretrain.preview_images(config_of(configs), count=99)
    assert every.shape == (12, 3, 12, 12)
    assert every.dtype == torch.uint8


def test_without_images_of_its_own_the_preview_shows_train_images(configs: Path) -> None:
    config = config_of(configs)
    config.preview.data = None
    own = config_of(configs)
    own.preview.data = own.train_dataloader.dataset.data
    assert torch.equal(pretrain.preview_images(config), pretrain.preview_images(own))


def test_a_broken_preview_is_told_before_training(configs: Path, images: Path) -> None:
    pretrain.check(config_of(configs), "random")
    (images / "val" / "class-0" / "0.png").write_bytes(b"text")
    with pytest.raises(UserError, match=r"val/class-0/0\.png cannot be read"):
        pretrain.check(config_of(configs), "random")


def test_a_preview_that_fails_later_costs_a_note(
    configs: Path, images: Path, tmp_path: Path
) -> None:
    for path in (images / "val").rglob("*.png"):
        path.unlink()
    notes: list[str] = []
    reporter = SilentReporter()
    reporter.note = notes.append  # type: ignore[method-assign]
    result = pretrain.run(
        config_of(configs, "train_cfg.max_epochs=1"), "random", tmp_path / "work", reporter
    )
    assert result.files_exist() and result.artifacts.keys() == {"mae"}
    assert any("reconstruction.png could not be drawn" in note for note in notes)
