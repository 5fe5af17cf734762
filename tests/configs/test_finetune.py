"""The recipes for fine-tuning, training from scratch and probing are the paper's."""

import math

import pytest
import torch

from downstream.scratch import recipe_for
from mae_core.engine.batch import batch_of, scaled_optimizer
from mae_core.engine.config import CONFIG_ROOT, load_config
from mae_core.models import create_encoder

FINETUNE = {  # paper, Table 9: base rate, layer decay, drop path, epochs, pixels
    "vit-base-p16_8xb128-amp-coslr-100e_in1k": (5e-4, 0.65, 0.1, 100, 224),
    "vit-large-p16_8xb128-amp-coslr-50e_in1k": (1e-3, 0.75, 0.2, 50, 224),
    "vit-huge-p14_8xb128-amp-coslr-50e_in1k": (1e-3, 0.75, 0.3, 50, 224),
    "vit-huge-p14_64xb16-amp-coslr-50e_in1k-448px": (1e-3, 0.75, 0.3, 50, 448),
}
SUPERVISE = {  # paper, Table 11: drop path, epochs
    "vit-base-p16_8xb512-amp-coslr-300e_in1k": (0.1, 300),
    "vit-large-p16_8xb512-amp-coslr-200e_in1k": (0.2, 200),
}
PROBE = {
    "vit-base-p16_8xb2048-amp-coslr-90e_in1k": 90,
    "vit-large-p16_8xb2048-amp-coslr-50e_in1k": 50,
    "vit-huge-p14_8xb2048-amp-coslr-50e_in1k": 50,
}
TRAININGS = [
    *(f"finetune/{name}" for name in FINETUNE),
    *(f"supervise/{name}" for name in SUPERVISE),
    *(f"linear_probe/{name}" for name in PROBE),
]


@pytest.mark.parametrize("folder", ["finetune", "supervise", "linear_probe"])
def test_every_recipe_for_imagenet_is_checked_here(folder: str) -> None:
    found = {f"{folder}/{p.stem}" for p in (CONFIG_ROOT / folder).glob("*_in1k*.py")}
    assert found == {name for name in TRAININGS if name.startswith(f"{folder}/")}


@pytest.mark.parametrize("name", FINETUNE)
def test_fine_tuning_is_table_9(name: str) -> None:
    config = load_config(f"finetune/{name}")
    rate, decay, drop_path, epochs, pixels = FINETUNE[name]
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", rate, 0.05)
    assert tuple(optimizer.betas) == (0.9, 0.999)
    assert config.optim_wrapper.paramwise_cfg.layer_decay == decay
    assert (config.encoder.drop_path, config.encoder.img_size) == (drop_path, pixels)
    assert (config.train_cfg.max_epochs, config.schedule.warmup_epochs) == (epochs, 5)
    assert (config.mixing.mixup_alpha, config.mixing.cutmix_alpha) == (0.8, 1.0)
    assert config.classifier.label_smoothing == 0.1 and config.classifier.pool == "avg"
    transform = config.train_dataloader.dataset.transform
    assert transform.auto_augment == "rand-m9-mstd0.5-inc1"
    assert (transform.re_prob, transform.re_mode, transform.input_size) == (0.25, "pixel", pixels)
    assert config.val_dataloader.dataset.transform.input_size == pixels


@pytest.mark.parametrize("name", SUPERVISE)
def test_training_from_scratch_is_table_11(name: str) -> None:
    config = load_config(f"supervise/{name}")
    drop_path, epochs = SUPERVISE[name]
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (1e-4, 0.3)
    assert tuple(optimizer.betas) == (0.9, 0.95)
    assert config.optim_wrapper.paramwise_cfg.layer_decay == 1.0
    assert (config.ema, config.schedule.warmup_epochs) == (0.9999, 20)
    assert (config.encoder.drop_path, config.train_cfg.max_epochs) == (drop_path, epochs)
    assert config.train_dataloader.dataset.transform.re_prob == 0


@pytest.mark.parametrize("name", [n for n in FINETUNE if "448" not in n])
def test_the_section_for_scratch_is_the_recipe_from_scratch(name: str) -> None:
    config = load_config(f"finetune/{name}")
    merged = recipe_for(config, "supervised")
    optimizer = merged.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 1e-4, 0.3)
    assert merged.optim_wrapper.paramwise_cfg.layer_decay == 1.0
    assert merged.train_cfg.max_epochs == (300 if "base" in name else 200)
    assert merged.effective_batch == 4096 and merged.ema == 0.9999


@pytest.mark.parametrize("name", PROBE)
def test_linear_probing_is_table_10(name: str) -> None:
    config = load_config(f"linear_probe/{name}")
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("Lars", 0.1, 0.0)
    assert optimizer.momentum == 0.9
    assert (config.train_cfg.max_epochs, config.schedule.warmup_epochs) == (PROBE[name], 10)
    assert "auto_augment" not in config.train_dataloader.dataset.transform


@pytest.mark.parametrize("name", TRAININGS)
def test_batch_rate_and_model_are_those_that_the_name_tells(name: str) -> None:
    config = load_config(name)
    stem = name.partition("/")[2]
    devices, micro = map(int, stem.split("_")[1].split("-")[0].split("xb"))
    batch = batch_of(config, devices)
    assert (batch.micro, batch.accumulate) == (micro, 1)
    assert (
        batch.update
        == {"finetune": 1024, "supervise": 4096, "linear_probe": 16384}[name.partition("/")[0]]
    )
    base = config.optim_wrapper.optimizer.lr
    assert scaled_optimizer(config, batch)["optimizer"]["lr"] == base * batch.update / 256
    with torch.device("meta"):
        encoder = create_encoder(**config.encoder)
    assert stem.startswith(f"{config.encoder.arch.rpartition('-')[0]}-p{encoder.patch_size}_")
    assert config.train_cfg.max_epochs == int(stem.split("-coslr-")[1].split("e_")[0])


def test_the_rate_of_the_first_layer_is_the_decay_to_the_power_of_the_depth() -> None:
    """Of base: 5e-4 * 1024 / 256 * 0.65 ** 13 for the embedding."""
    config = load_config("finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k")
    rate = scaled_optimizer(config, batch_of(config, 8))["optimizer"]["lr"]
    assert math.isclose(rate * 0.65**13, 2e-3 * 0.65**13)
