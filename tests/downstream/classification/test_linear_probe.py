from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import set_random_seed
from timm.optim import Lars

from downstream.classification.finetune import open_images
from downstream.classification.linear_probe import FrozenProbe, check, run
from mae_core import UserError, create_encoder
from mae_core.checkpoints import read_state
from mae_core.config import load_config
from mae_core.data.normalize import Normalize
from mae_core.encoders.vit import pool_tokens
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on
from tests.downstream.conftest import TINY

PIXELS = {"mean": [72.9] * 3, "std": [90.0] * 3}


@pytest.fixture
def config(garments: Path) -> Config:
    """The paper's protocol, for few and small images."""
    config = load_config("linear_probe/vit-base-p16_8xb2048-amp-coslr-90e_in1k")
    config.encoder = {**TINY, "img_size": 30}
    config.effective_batch, config.pool = None, "avg"
    config.optim_wrapper.type = "FiniteOptimWrapper"
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.update(batch_size=60, num_workers=0, persistent_workers=False)
        loader.dataset.transform.update(input_size=30)
    config.train_dataloader.dataset.transform.scale = (0.9, 1.0)
    config.train_dataloader.dataset.transform.hflip = 0.0
    config.train_cfg.update(max_epochs=12, val_interval=12)
    config.schedule.warmup_epochs = 1
    config.auto_scale_lr.enable = False
    return on(config, garments)


def test_on_images_only_the_probe_is_trained_and_kept(config: Config, tmp_path: Path) -> None:
    config.optim_wrapper.optimizer.lr = 200.0  # LARS moves weights by a thousandth of it
    results = [run(config, "random", tmp_path / n, SilentReporter()) for n in ("a", "b")]
    assert results[0].metrics == results[1].metrics
    assert results[0].metrics["linear-probe/top1"].value > 0.5  # chance is 0.25
    state = read_state(str(results[0].checkpoint))
    assert {key.partition(".")[0] for key in state} == {"norm", "head"}


def test_the_encoder_is_frozen_and_the_norm_is_that_of_the_batch() -> None:
    encoder = create_encoder(**TINY, img_size=12, drop_path=0.5)
    probe = FrozenProbe(encoder, 3, Normalize(**PIXELS), "avg").train()
    assert not encoder.training and probe.norm.training
    images, label = torch.randn(8, 3, 12, 12), torch.arange(8) % 3
    loss = probe(images, label, mode="loss")["loss"]
    with torch.no_grad():
        x = pool_tokens(encoder(images), "avg")
    x = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-6).sqrt()
    expected = torch.nn.functional.cross_entropy(x @ probe.head.weight.T, label)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(p.grad is None for p in encoder.parameters())


def test_training_is_timms_lars_on_the_matrix_and_plain_on_the_bias(
    config: Config, tmp_path: Path
) -> None:
    """Three steps through the Runner against the same by hand, at a constant rate."""
    config.param_scheduler = None
    config.pop("schedule")
    config.train_dataloader.dataset.transform = dict(config.val_dataloader.dataset.transform)
    config.train_dataloader.batch_size = 120
    config.train_dataloader.sampler = {"type": "DefaultSampler", "shuffle": False}
    config.train_cfg.update(max_epochs=3)
    config.optim_wrapper.optimizer.weight_decay = 0.01
    result = run(config, "random", tmp_path / "runner", SilentReporter())

    set_random_seed(config.seed)
    probe = FrozenProbe(create_encoder(**config.encoder), 4, Normalize(**config.pixels), "avg")
    images, _ = open_images(config)
    batch = torch.utils.data.default_collate([images[i] for i in range(len(images))])
    batch = probe.data_preprocessor(batch, True)
    optimizer = Lars(
        [
            {"params": [probe.head.weight], "always_adapt": True, "weight_decay": 0.01},
            {"params": [probe.head.bias], "always_adapt": False, "weight_decay": 0.0},
        ],
        lr=0.1,
        momentum=0.9,
    )
    probe.train()
    for _ in range(3):
        optimizer.zero_grad()
        probe(**batch, mode="loss")["loss"].backward()
        optimizer.step()
    found = read_state(str(result.checkpoint))
    torch.testing.assert_close(found["head.weight"], probe.head.weight.data)
    torch.testing.assert_close(found["head.bias"], probe.head.bias.data)
    assert not torch.equal(probe.head.bias.data, torch.zeros(4))


def test_a_held_out_part_without_a_class_is_told_before_anything_runs(garments: Path) -> None:
    config = on(load_config("linear_probe/vit-micro-p6_1xb500-25e_demo"), garments)
    config.pool = "last4"
    with pytest.raises(UserError, match="pool='last4': the encoder has 2 blocks"):
        check(config, "random")
    config.pool = "last2"
    check(config, "random")
    config.held_out = 0.01
    with pytest.raises(UserError, match=r"1\.0% of the 30 images of class-0 is none"):
        check(config, "random")
