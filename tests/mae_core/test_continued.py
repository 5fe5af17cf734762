from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from torch import Tensor

from mae_core import UserError, create_encoder, create_model, pretrain
from mae_core.checkpoints import load_encoder, read_metadata, read_state, save_encoder, save_weights
from mae_core.config import apply_overrides, load_config
from mae_core.continued import Continued, with_rate, with_start
from mae_core.convert import convert
from mae_core.data.images import ImageDataset
from mae_core.data.normalize import Normalize
from mae_core.describe import load_mae
from mae_core.engine.step_checkpoints import checkpoints
from mae_core.engine.train import build_runner
from mae_core.stage import SilentReporter, StageResult
from tests.faults import arm

EPOCH = 4  # steps
SIZES = {"img_size": 12, "width": 16, "depth": 1, "heads": 2}
STILL = "optim_wrapper.optimizer.lr=0.0"
SHORT = "train_cfg.max_epochs=1"


class Listener(SilentReporter):
    """Keeps what a stage says."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.losses: list[float] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def log(self, values: Any, step: int) -> None:
        if "loss" in values:
            self.losses.append(values["loss"])


def config_of(configs: Path, *overrides: str) -> Config:
    return load_config(str(configs / "pretrain.py"), overrides=overrides)


def run(config: Config, start: str, folder: Path, reporter: Any = None) -> StageResult:
    MessageHub._instance_dict.clear()  # as in a new process
    folder.mkdir(parents=True, exist_ok=True)
    pretrain.check(config, start)
    return pretrain.run(config, start, folder, reporter or SilentReporter())


def weights(path: str) -> dict[str, Tensor]:
    return read_state(path)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    """The path of an encoder alone, of the configs' size."""
    torch.manual_seed(5)
    save_encoder(tmp_path / "own.safetensors", create_encoder("vit-micro-p6", **SIZES))
    return str(tmp_path / "own.safetensors")


@pytest.fixture
def mae(tmp_path: Path) -> str:
    """The path of a MAE whose decoder is larger than that of the configs."""
    torch.manual_seed(5)
    sizes = {"decoder_width": 512, "decoder_depth": 1, "decoder_heads": 16}
    made = create_model("vit-micro-p6", **{**SIZES, "width": 96, "heads": 3}, **sizes)
    path, about = tmp_path / "mae.safetensors", made.encoder.metadata()
    save_weights(path, made, mae=made.config, **about)
    return str(path)


def loss_of(checkpoint: str, config: Config, folder: Path) -> float:
    """What a stored MAE loses on the first batch of a training."""
    model = pretrain.Pretrainer(load_mae(checkpoint)[0], Normalize(**config.pixels))
    images = ImageDataset(**config.train_dataloader.dataset)
    runner = build_runner(config, model, folder, SilentReporter(), {"train_dataloader": images})
    batch = next(iter(runner.build_dataloader(runner._train_dataloader)))
    with torch.no_grad():
        return float(model(**model.data_preprocessor(batch, True))["loss"])


@pytest.mark.parametrize("layout", ["native", "mae"])
def test_the_first_loss_after_a_file_with_decoder_is_that_of_the_file(
    configs: Path, mae: str, tmp_path: Path, layout: str
) -> None:
    """Of ours, and as facebookresearch/mae writes it."""
    config = config_of(configs, SHORT, STILL, "encoder.width=96", "encoder.heads=3")
    if layout == "mae":
        convert(mae, tmp_path / "official.pth", "mae")
        mae = str(tmp_path / "official.pth")
    config.report_interval = config.default_hooks.runtime_info.interval = 1
    heard = Listener()
    run(config, mae, tmp_path / "work", heard)
    assert heard.losses[0] == pytest.approx(loss_of(mae, config, tmp_path / "own"), abs=1e-6)
    said = "\n".join(heard.notes)
    assert "decoder_width=512 (16)" in said and "it holds all that mae trains" in said
    fresh = Listener()
    run(config, "random", tmp_path / "fresh", fresh)
    assert abs(fresh.losses[0] - heard.losses[0]) > 1e-3 and fresh.notes == []


def test_beside_an_encoder_alone_the_decoder_begins_anew_and_this_is_said(
    configs: Path, encoder: str, tmp_path: Path
) -> None:
    heard = Listener()
    found = run(config_of(configs, SHORT, STILL), encoder, tmp_path / "work", heard)
    anew = run(config_of(configs, SHORT, STILL), "random", tmp_path / "anew")
    assert same(weights(str(found.checkpoint)), weights(encoder))
    one, other = (weights(result.artifacts["mae"]) for result in (found, anew))
    assert torch.equal(one["decoder.pred.weight"], other["decoder.pred.weight"])
    assert any("the encoder, and not what else mae trains" in note for note in heard.notes)


def test_architecture_channels_and_positions_are_adapted_and_said(
    configs: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "wide.safetensors")
    save_encoder(path, create_encoder("vit-micro-p6", **{**SIZES, "img_size": 24, "width": 24}))
    config = config_of(configs, SHORT, "protocol=same")
    config.encoder.in_chans = config.train_dataloader.dataset.in_chans = config.preview.in_chans = 1
    config.pixels = {"mean": [120.0], "std": [60.0]}
    heard = Listener()
    found = run(config, path, tmp_path / "work", heard)
    made = load_encoder(str(found.checkpoint))
    assert (made.width, made.config["in_chans"], made.img_size) == (24, 1, (12, 12))
    said = "\n".join(heard.notes)
    assert "width=24 (16)" in said
    assert "fitted to these images: pos_embed, patch_embed.proj.weight" in said


def test_images_are_those_of_the_weights_unless_the_protocol_is_the_same_for_all(
    configs: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "stated.safetensors")
    made = create_encoder("vit-micro-p6", **{**SIZES, "img_size": 24})
    shown = {"input_size": [24, 24], "interpolation": "bicubic", "crop_pct": 0.9}
    pixels = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}
    save_encoder(path, made, preprocessing=shown, pixels=pixels, licence="cc-by-nc-4.0")
    about = read_metadata(str(run(config_of(configs, SHORT), path, tmp_path / "own").checkpoint))
    assert about["preprocessing"] == shown and about["licence"] == "cc-by-nc-4.0"
    assert about["pixels"] == pixels and about["encoder"]["img_size"] == [24, 24]
    config = config_of(configs, SHORT, "protocol=same")
    about = read_metadata(str(run(config, path, tmp_path / "same").checkpoint))
    assert "preprocessing" not in about and about["encoder"]["img_size"] == [12, 12]


@pytest.mark.parametrize("method", ["mae", "simmim"])
def test_the_encoder_rests_while_what_is_new_warms_up_and_a_resume_is_exact(
    configs: Path, encoder: str, tmp_path: Path, method: str
) -> None:
    start = encoder
    config = config_of(configs, "continued.warmup_updates=4", "continued.encoder_lr_mult=0.5")
    if method == "simmim":  # with batch norms, whose statistics rest too
        start = str(tmp_path / "resnet.safetensors")
        save_encoder(start, create_encoder("timm:test_resnet", img_size=32))
        config.method = "simmim"
        config.encoder = ConfigDict(arch="timm:test_resnet", img_size=32, in_chans=3)
        for images in (config.train_dataloader.dataset, config.preview):
            images.transform.input_size = 32
    whole = run(config, start, tmp_path / "whole")
    broken = tmp_path / "broken"
    arm(configs / "pretrain.fault", "raise", EPOCH)
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(config, start, broken)
    state = torch.load(checkpoints(broken)[0], weights_only=True)["state_dict"]
    begun = weights(start)
    for key, value in state.items():
        if key.startswith(f"{method}.encoder."):
            assert torch.equal(value, begun[key.removeprefix(f"{method}.encoder.")]), key
    torch.rand(7)  # a new process starts with other random states
    resumed = run(config, start, broken)
    assert same(weights(resumed.artifacts[method]), weights(whole.artifacts[method]))
    assert resumed.metrics == whole.metrics
    short = config_of(configs, SHORT)
    for key in ("method", "encoder", "train_dataloader", "preview"):
        short[key] = config[key]
    short.continued = {"warmup_updates": EPOCH - 1}  # the last update is the encoder's first
    one = weights(str(run(short, start, tmp_path / "short").checkpoint))
    still = {key for key in one if torch.equal(one[key], begun[key])}
    assert len(still) < len(one) / 2


def test_a_simmim_goes_on_from_its_own_file_with_its_head(configs: Path, tmp_path: Path) -> None:
    config = config_of(configs, SHORT, "method=simmim")
    first = run(config, "random", tmp_path / "first").artifacts["simmim"]
    heard = Listener()
    apply_overrides(config, [STILL])
    again = run(config, first, tmp_path / "again", heard)
    assert same(weights(first), weights(again.artifacts["simmim"]))
    assert any("it holds all that simmim trains" in note for note in heard.notes)
    other = run(config_of(configs, SHORT, STILL), first, tmp_path / "other", heard)
    assert any("the encoder, and not what else mae trains" in note for note in heard.notes)
    assert same(weights(str(other.checkpoint)), weights(str(again.checkpoint)))


def test_the_encoders_rate_is_a_multiple_and_decays_stay(configs: Path) -> None:
    config = config_of(configs)
    assert with_rate(config, Continued()) is config
    model = pretrain.Pretrainer(pretrain.build_method(config), torch.nn.Identity())
    names = {parameter: name for name, parameter in model.named_parameters()}

    def groups(given: Config) -> dict[str, tuple[float, float]]:
        found = build_optim_wrapper(model, given.optim_wrapper).optimizer.param_groups
        return {names[p]: (g["lr"], g["weight_decay"]) for g in found for p in g["params"]}

    usual = groups(config)
    for name, (rate, decay) in groups(with_rate(config, Continued(0, 0.25))).items():
        factor = 0.25 if name.startswith("mae.encoder.") else 1.0
        assert (rate, decay) == (factor * usual[name][0], usual[name][1])
    plain = config_of(configs)
    plain.optim_wrapper.pop("paramwise_cfg")
    rates = groups(with_rate(plain, Continued(3)))
    assert set(rates) == set(usual) and len({rate for rate, _ in rates.values()}) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["continued.warmup_updates=-1"], "warmup_updates=-1: expected a whole number from 0"),
        (["continued.encoder_lr_mult=0"], "encoder_lr_mult=0: expected a number above 0"),
        (["continued={'warmup': 3}"], "section `continued` has no field 'warmup': did you mean"),
    ],
)
def test_values_out_of_range_say_so(
    configs: Path, encoder: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        pretrain.check(config_of(configs, *overrides), encoder)


def test_what_cannot_be_is_told_before_training(
    configs: Path, encoder: str, tmp_path: Path
) -> None:
    warm = config_of(configs, "continued.warmup_updates=24")
    with pytest.raises(UserError, match="begins with random ones: name some with start"):
        pretrain.check(warm, "random")
    with pytest.raises(UserError, match="the training has 24 updates"):
        run(warm, encoder, tmp_path / "work")
    assert not checkpoints(tmp_path / "work")
    warm.optim_wrapper.constructor = "LayerDecayConstructor"
    with pytest.raises(UserError, match="both say which weights have which rate"):
        pretrain.check(warm, encoder)
    torch.save({"cls_token": torch.zeros(1, 1, 16)}, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"part\.pth"):
        run(config_of(configs), str(tmp_path / "part.pth"), tmp_path / "part")
    resnet = str(tmp_path / "resnet.safetensors")
    save_encoder(resnet, create_encoder("timm:test_resnet", img_size=32))
    with pytest.raises(UserError, match="the method mae needs an encoder that looks at some"):
        pretrain.check(config_of(configs), resnet)


def test_other_targets_than_the_files_are_said(configs: Path, mae: str) -> None:
    heard = Listener()
    config = config_of(configs, "mae.norm_pix_loss=False")
    assert with_start(config, mae, heard).mae.norm_pix_loss is False
    assert any("trained with norm_pix_loss=True; the config's" in note for note in heard.notes)
    assert with_start(config, "random", heard) is config
