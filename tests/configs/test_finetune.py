"""Fine-tuning, training from scratch and probing are as the source that each names has them."""

import math

import pytest
import torch

from downstream.scratch import recipe_for
from mae_core.config import CONFIG_ROOT, load_config
from mae_core.encoders import create_encoder
from mae_core.engine.batch import batch_of, scaled_optimizer

# Base rate, layer decay, drop path, erasing, epochs, pixels: facebookresearch/mae, FINETUNE.md.
OFFICIAL = {
    "vit-base-p16_8xb128-amp-coslr-100e_in1k": (5e-4, 0.65, 0.1, 0.25, 100, 224),
    "vit-large-p16_8xb128-amp-coslr-50e_in1k": (1e-3, 0.75, 0.2, 0.25, 50, 224),
    "vit-huge-p14_8xb128-amp-coslr-50e_in1k": (1e-3, 0.75, 0.3, 0.25, 50, 224),
}
# The same: paper, Table 9, and 4.2 for the size of 448.
TABLE_9 = {
    "vit-base-p16_8xb128-amp-coslr-100e_in1k-table9": (1e-3, 0.75, 0.1, 0.0, 100, 224),
    "vit-large-p16_8xb128-amp-coslr-50e_in1k-table9": (1e-3, 0.75, 0.1, 0.0, 50, 224),
    "vit-huge-p14_8xb128-amp-coslr-50e_in1k-table9": (1e-3, 0.75, 0.2, 0.0, 50, 224),
    "vit-huge-p14_64xb16-amp-coslr-50e_in1k-448px": (1e-3, 0.75, 0.2, 0.0, 50, 448),
}
FINETUNE = {**OFFICIAL, **TABLE_9}
SUPERVISE = {  # paper, Table 11: drop path, epochs
    "vit-base-p16_8xb512-amp-coslr-300e_in1k": (0.1, 300),
    "vit-large-p16_8xb512-amp-coslr-200e_in1k": (0.2, 200),
}
PROBE = {  # epochs: paper, Table 10, has 90 for all; FINETUNE.md 90 for base, 50 for the others
    "vit-base-p16_8xb2048-amp-coslr-90e_in1k": 90,
    "vit-large-p16_8xb2048-amp-coslr-50e_in1k": 50,
    "vit-large-p16_8xb2048-amp-coslr-90e_in1k": 90,
    "vit-huge-p14_8xb2048-amp-coslr-50e_in1k": 50,
    "vit-huge-p14_8xb2048-amp-coslr-90e_in1k": 90,
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
def test_fine_tuning_is_as_its_source_has_it(name: str) -> None:
    config = load_config(f"finetune/{name}")
    rate, decay, drop_path, erasing, epochs, pixels = FINETUNE[name]
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
    assert (transform.re_prob, transform.input_size) == (erasing, pixels)
    assert transform.re_mode == "pixel"
    assert config.val_dataloader.dataset.transform.input_size == pixels


@pytest.mark.parametrize("name", FINETUNE)
def test_each_names_its_source_and_no_other(name: str) -> None:
    head = (CONFIG_ROOT / "finetune" / f"{name}.py").read_text().partition("_base_")[0]
    sources = {"FINETUNE.md" if name in OFFICIAL else "Table 9"}
    assert {source for source in ("FINETUNE.md", "Table 9") if source in head} == sources


@pytest.mark.parametrize("size", ["base", "large"])
def test_partial_fine_tuning_follows_table_9(size: str) -> None:
    """Paper, A.1, "Partial fine-tuning"."""
    (path,) = (CONFIG_ROOT / "partial_finetune").glob(f"vit-{size}*")
    (of_table,) = (name for name in TABLE_9 if size in name)
    partial = load_config(str(path)).to_dict()
    whole = load_config(f"finetune/{of_table}").to_dict()
    assert {key for key in partial if partial[key] != whole.get(key)} == {"stage", "blocks"}


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
    assert merged.encoder.drop_path == (0.1 if "base" in name else 0.2)
    assert merged.train_dataloader.dataset.transform.re_prob == 0
    assert merged.effective_batch == 4096 and merged.ema == 0.9999


@pytest.mark.parametrize("name", PROBE)
def test_linear_probing_is_table_10_but_for_the_epochs_of_finetune_md(name: str) -> None:
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
