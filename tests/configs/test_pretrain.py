"""The pretraining recipes are the paper's, and say what they are."""

import math
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import set_random_seed
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from timm.optim import param_groups_weight_decay

from mae_core import create_model, pretrain
from mae_core.config import CONFIG_ROOT, load_config
from mae_core.data.images import ImageDataset
from mae_core.data.normalize import Normalize
from mae_core.encoders.vit import ARCHITECTURES
from mae_core.engine.batch import batch_of, scaled_optimizer
from mae_core.engine.schedule import warmup_cosine
from mae_core.engine.train import build_runner, train
from mae_core.stage import SilentReporter
from pipelines.stages import stages
from tests.tiny import write_images

OTHER = ("_base_", "benchmarks", "sweeps")
ALL = sorted(p for p in CONFIG_ROOT.rglob("*.py") if p.parent.name not in OTHER)
PRETRAIN = sorted(p.stem for p in (CONFIG_ROOT / "pretrain").glob("vit-*.py"))
IN1K = [name for name in PRETRAIN if name.endswith("_in1k")]
SMALL = [name for name in PRETRAIN if "_small" in name]
HUGE = "vit-huge-p14_8xb512-amp-coslr-800e_in1k"
NAME = re.compile(r"(vit-\w+)-p(\d+)_(\d+)xb(\d+)(-amp)?(-coslr)?-(\d+)e_\w+(?:-\d+pct\w*)?")
SHRUNK = """
_base_ = ["{base}"]
encoder = dict(width=16, depth=2, heads=2)
mae = dict(decoder_width=16, decoder_depth=1, decoder_heads=2)
effective_batch = 8
train_dataloader = dict(batch_size=4, num_workers={workers}, dataset=dict(data="{data}/train"))
preview = dict(data="{data}/val")
train_cfg = dict(max_epochs=2)
"""


def recipe(name: str, *overrides: str) -> Config:
    return load_config(f"pretrain/{name}", overrides=overrides)


def shrunk(folder: Path, name: str) -> Config:
    """The recipe as it is, but for a small model, few images, and accumulation over two steps."""
    workers = min(recipe(name).train_dataloader.num_workers, 1)
    data = write_images(folder / "data")
    path = folder / "own.py"
    base = CONFIG_ROOT / "pretrain" / f"{name}.py"
    path.write_text(SHRUNK.format(base=base, workers=workers, data=data))
    return load_config(str(path))


def trained(config: Config, folder: Path) -> pretrain.Pretrainer:
    set_random_seed(0)
    mae = create_model(**config.encoder, **config.mae)
    model = pretrain.Pretrainer(mae, Normalize(**config.pixels))
    images = {"train_dataloader": ImageDataset(**config.train_dataloader.dataset)}
    train(build_runner(config, model, folder, SilentReporter(), images))
    return model


def test_there_is_one_for_each_size_and_length() -> None:
    sizes, lengths = ("base-p16", "large-p16", "huge-p14"), (400, 800, 1600)
    assert set(IN1K) == {f"vit-{s}_8xb512-amp-coslr-{e}e_in1k" for s in sizes for e in lengths}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_config_loads_and_is_in_its_stage_s_folder(path: Path) -> None:
    stage = load_config(str(path)).stage
    assert stage in stages() and stage.replace("-", "_") == path.parent.name


@pytest.mark.parametrize("name", PRETRAIN)
def test_the_name_tells_model_batch_precision_and_epochs(name: str) -> None:
    config = recipe(name)
    match = NAME.fullmatch(name)
    assert match
    size, patch, devices, batch, amp, cosine, epochs = match.groups()
    with torch.device("meta"):
        model = create_model(**config.encoder, **config.mae)
    assert config.encoder.arch.startswith(f"{size}-")
    assert model.encoder.patch_size == int(patch)
    assert batch_of(config, int(devices)).micro == int(batch)
    assert batch_of(config, int(devices)).accumulate == 1
    assert bool(amp) == (config.optim_wrapper.type == "BFloat16OptimWrapper")
    assert not cosine or "schedule" in config
    assert config.train_cfg.max_epochs == int(epochs)


@pytest.mark.parametrize("name", IN1K)
def test_a_recipe_is_the_paper_s(name: str) -> None:
    """Table 8, and 4.1 for the decoder."""
    config = recipe(name)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", 1.5e-4, 0.05)
    assert tuple(optimizer.betas) == (0.9, 0.95)
    assert (config.effective_batch, config.schedule.warmup_epochs) == (4096, 40)
    mae = config.mae
    assert (mae.mask_ratio, mae.masking, mae.objective) == (0.75, "random", "mse")
    assert mae.norm_pix_loss and mae.decode_ratio == 1 and config.ema is None
    assert (mae.decoder_width, mae.decoder_depth, mae.decoder_heads) == (512, 8, 16)
    assert config.encoder.keys() == {"arch", "img_size", "in_chans"}
    assert config.encoder.arch in ARCHITECTURES and config.encoder.img_size == 224
    assert config.train_dataloader.dataset.repeats == 1
    transform = {**config.train_dataloader.dataset.transform}
    assert tuple(transform.pop("scale")) == (0.2, 1.0)
    crop_and_flip = {"input_size": 224, "interpolation": "bicubic", "hflip": 0.5}
    assert transform == {**crop_and_flip, "is_training": True, "color_jitter": None}
    assert [round(mean / 255, 3) for mean in config.pixels.mean] == [0.485, 0.456, 0.406]
    assert [round(std / 255, 3) for std in config.pixels.std] == [0.229, 0.224, 0.225]


@pytest.mark.parametrize("name", IN1K)
@pytest.mark.parametrize(
    ("devices", "micro", "steps"), [(8, 512, 1), (64, 64, 1), (1, 64, 64), (16, 64, 4)]
)
def test_the_rate_is_the_paper_s_on_any_number_of_devices(
    name: str, devices: int, micro: int, steps: int
) -> None:
    config = recipe(name, f"train_dataloader.batch_size={micro}")
    batch = batch_of(config, devices)
    assert (batch.update, batch.accumulate) == (4096, steps)
    wrapper = scaled_optimizer(config, batch)
    assert wrapper["accumulative_counts"] == steps
    assert wrapper["optimizer"]["lr"] == pytest.approx(2.4e-3)


@pytest.mark.parametrize("name", [n for n in IN1K if "base" in n])
def test_the_schedule_is_the_paper_s(name: str) -> None:
    """Against the formula, in epochs, of which each has two steps here."""
    config, steps = recipe(name), 2
    epochs = config.train_cfg.max_epochs
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.4e-3)
    fields = {"optimizer": optimizer, "epoch_length": steps}
    schedulers = [
        PARAM_SCHEDULERS.build({**scheduler, **fields})
        for scheduler in warmup_cosine(epochs, **config.schedule)
    ]
    for step in range(epochs * steps):
        epoch = step / steps
        expected = epoch / 40
        if epoch >= 40:
            expected = (1 + math.cos(math.pi * (epoch - 40) / (epochs - 40))) / 2
        # in the warm-up ours is ahead by at most a step: it reaches the rate with the last one
        near = 1 / 40 / steps + 1e-3 if epoch < 40 else 1e-6
        assert optimizer.param_groups[0]["lr"] / 2.4e-3 == pytest.approx(expected, abs=near)
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert optimizer.param_groups[0]["lr"] < 1e-7


def test_what_decays_is_what_decays_in_the_original_code() -> None:
    """facebookresearch/mae takes timm's groups: all but vectors."""
    config = recipe(IN1K[0])
    mae = create_model("vit-micro-p6", img_size=30, **config.mae)
    model = pretrain.Pretrainer(mae, Normalize(**config.pixels))
    wrapper = build_optim_wrapper(model, {**config.optim_wrapper, "type": "OptimWrapper"})
    ours = {id(p): group["weight_decay"] for group in wrapper.param_groups for p in group["params"]}
    groups = param_groups_weight_decay(model, weight_decay=0.05)
    theirs = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {key: ours[key] for key in theirs} == theirs


def test_every_block_of_the_huge_encoder_is_checkpointed() -> None:
    config = recipe(HUGE)
    with torch.device("meta"):
        blocks = create_model(**config.encoder, **config.mae).encoder.blocks
    names = [f"mae.encoder.blocks.{i}" for i in range(len(blocks))]
    assert list(config.activation_checkpointing) == names


def test_checkpointed_blocks_keep_less_and_have_the_same_gradients() -> None:
    found = []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        model = create_model("vit-micro-p6", img_size=30, decoder_width=16, decoder_depth=1)
        if checkpointed:
            turn_on_activation_checkpointing(model, [f"encoder.blocks.{i}" for i in range(6)])
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model(torch.rand(8, 3, 30, 30)).loss
        loss.backward()
        grads = [p.grad for p in model.parameters() if p.requires_grad]
        found.append((sum(kept.values()), grads))
    (all_of_it, expected), (rest, grads) = found
    assert rest < all_of_it / 2
    assert all(torch.equal(a, b) for a, b in zip(grads, expected, strict=True))


def test_a_shrunk_huge_recipe_trains_alike_with_and_without_checkpointing(tmp_path: Path) -> None:
    config = shrunk(tmp_path, HUGE)
    config.activation_checkpointing = config.activation_checkpointing[:2]
    first = trained(config, tmp_path / "less memory").state_dict()
    config.activation_checkpointing = None
    second = trained(config, tmp_path / "more memory").state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", SMALL)
def test_a_shrunk_preset_trains_on_grey_images(name: str, tmp_path: Path) -> None:
    config = shrunk(tmp_path, name)
    for part in (config.encoder, config.train_dataloader.dataset, config.preview):
        part.in_chans = 1
    config.pixels = {"mean": [127.5], "std": [64.0]}
    weight = trained(config, tmp_path / "work").mae.encoder.patch_embed.proj.weight
    assert weight.shape[1] == 1 and weight.isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_a_preset_s_images_have_its_model_s_size(name: str, tmp_path: Path) -> None:
    config = shrunk(tmp_path, name)
    for images in (config.train_dataloader.dataset, config.preview):
        item = ImageDataset(**images)[0]
        assert item["inputs"].shape == (3, config.encoder.img_size, config.encoder.img_size)
