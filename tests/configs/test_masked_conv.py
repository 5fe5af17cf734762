"""The recipes of masked hierarchical encoders are the papers', and say what they are."""

import re
from pathlib import Path

import pytest
import torch
from timm.optim import Lamb

from mae_core import pretrain
from mae_core.agreement import check_keys
from mae_core.config import CONFIG_ROOT, load_config
from mae_core.data.images import ImageDataset
from mae_core.data.normalize import Normalize
from mae_core.engine.batch import batch_of, scaled_optimizer
from mae_core.engine.train import build_runner
from mae_core.stage import SilentReporter
from tests.tiny import write_images

PRETRAIN = CONFIG_ROOT / "pretrain"
METHODS = ("fcmae_", "spark_", "hiera_")
ALL = sorted(p.stem for p in PRETRAIN.glob("*.py") if p.stem.startswith(METHODS))
IN1K = [name for name in ALL if name.endswith("_in1k")]
NAME = re.compile(r"(fcmae|spark|hiera)_([a-z0-9]+)-?(\w+)?_(\d+)xb(\d+)(-amp)?-coslr-(\d+)e_.+")


@pytest.mark.parametrize("name", ALL)
def test_the_name_tells_method_model_batch_precision_and_epochs(name: str) -> None:
    config = load_config(f"pretrain/{name}")
    check_keys(config)
    match = NAME.fullmatch(name)
    assert match
    method, family, size, devices, batch, amp, epochs = match.groups()
    assert config.method == method and not config.mae
    with torch.device("meta"):
        built = pretrain.build_method(config)
    assert config.encoder.arch.startswith(f"timm:{family}")
    if "options" not in config.encoder:
        assert config.encoder.arch == "timm:" + "_".join(filter(None, (family, size)))
    assert built.grid == ((4, 4) if "_in1k" not in name else (7, 7))
    assert built.config == config[method]  # all that decides is said
    assert batch_of(config, int(devices)).micro == int(batch)
    assert bool(amp) == (config.optim_wrapper.type == "BFloat16OptimWrapper")
    assert config.train_cfg.max_epochs == int(epochs)
    said = (PRETRAIN / f"{name}.py").read_text()
    assert name not in IN1K or "Not run here" in said.replace("\n# ", " ")


@pytest.mark.parametrize("name", IN1K)
def test_a_recipe_is_the_papers(name: str) -> None:
    config = load_config(f"pretrain/{name}")
    optimizer = config.optim_wrapper.optimizer
    expected = ("AdamW", 1.5e-4, 0.05) if config.method == "fcmae" else ("Lamb", 2e-4, 0.04)
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == expected
    assert config[config.method].mask_ratio == 0.6 and config[config.method].decoder_width == 512
    assert (config.effective_batch, config.schedule.warmup_epochs) == (4096, 40)
    batch = batch_of(config, 8)
    assert batch.update == 4096
    rate = scaled_optimizer(config, batch)["optimizer"]["lr"]
    assert rate == pytest.approx(16 * optimizer.lr)
    transform = config.train_dataloader.dataset.transform
    assert transform.color_jitter is None and transform.hflip == 0.5


def test_sparks_optimizer_is_timms_lamb_without_decay_of_vectors(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data")
    name = next(name for name in IN1K if name.startswith("spark"))
    path = tmp_path / "own.py"
    path.write_text(
        f"_base_ = '{PRETRAIN / name}.py'\n"
        "encoder = dict(img_size=64, options=dict(layers=[1, 1, 1, 1], channels=[8, 8, 8, 8]))\n"
        "spark = dict(decoder_width=256)\neffective_batch = 8\n"
        f"train_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, "
        f"dataset=dict(data='{data}/train', transform=dict(input_size=64)))\n"
    )
    config = load_config(str(path))
    model = pretrain.Pretrainer(pretrain.build_method(config), Normalize(**config.pixels))
    images = {"train_dataloader": ImageDataset(**config.train_dataloader.dataset)}
    runner = build_runner(config, model, tmp_path / "work", SilentReporter(), images)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    assert isinstance(wrapper.optimizer, Lamb)
    decays = {}
    for group in wrapper.optimizer.param_groups:
        for parameter in group["params"]:
            decays[id(parameter)] = group["weight_decay"]
    for parameter in model.parameters():
        assert decays[id(parameter)] == (0.0 if parameter.ndim < 2 else 0.04)
