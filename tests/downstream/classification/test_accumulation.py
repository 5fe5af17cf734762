"""A fine-tuning is the same, however many steps an update's images are spread over."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub

from downstream.classification import finetune, linear_probe
from downstream.classification.mixing import MixingNormalize
from mae_core import UserError
from mae_core.checkpoints import read_state
from mae_core.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on

PAPER = load_config("finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k")


def config_of(garments: Path, micro: int) -> Config:
    """Three updates of 16 images an epoch, with all of the paper's augmentations."""
    config = on(load_config("finetune/vit-micro-p6_1xb64-40e_demo-250"), garments)
    config.encoder.drop_path = 0.5
    config.mixing, config.ema, config.effective_batch = PAPER.mixing, 0.8, 16
    config.train_dataloader.update(batch_size=micro, drop_last=True)
    config.train_dataloader.dataset.per_class = 12
    config.train_dataloader.dataset.transform.update(PAPER.train_dataloader.dataset.transform)
    config.train_dataloader.dataset.transform.input_size = 30
    config.train_cfg.update(max_epochs=3, val_interval=3)
    return config


def weights(config: Config, folder: Path) -> dict[str, torch.Tensor]:
    MessageHub._instance_dict.clear()  # as in a new process
    result = finetune.run(config, "random", folder, SilentReporter())
    return read_state(str(result.checkpoint))


def test_a_fine_tuning_of_1x16_is_one_of_8x2(garments: Path, tmp_path: Path) -> None:
    """Mixed pairs, stochastic depth, warm-up and average: equal but for rounding."""
    whole, spread = (weights(config_of(garments, n), tmp_path / str(n)) for n in (16, 2))
    for name in whole:
        a, b = whole[name], spread[name]
        if name.endswith("qkv.bias"):  # that of keys has no gradient but rounding's
            a, b = (torch.cat([v.chunk(3)[i] for i in (0, 2)]) for v in (a, b))
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=name)


def test_pairs_are_mixed_alike_in_a_batch_and_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = {
        "inputs": torch.randint(0, 256, (8, 3, 6, 6), generator=generator, dtype=torch.uint8),
        "label": torch.randint(0, 5, (8,), generator=generator),
        "seed": torch.randint(0, 2**62, (8,), generator=generator),
    }
    mix = MixingNormalize(5, 0.1, PAPER.mixing, {"mean": [100.0] * 3, "std": [50.0] * 3})
    whole = mix(batch, True)
    parts = [mix({k: v[i : i + 2] for k, v in batch.items()}, True) for i in range(0, 8, 2)]
    for key in ("inputs", "label"):
        assert torch.equal(whole[key], torch.cat([part[key] for part in parts]))
    assert len({float(row.max()) for row in whole["label"]}) > 2  # each pair its own ratio


@pytest.mark.parametrize(
    ("key", "value"),
    [("batch_size", 3), ("effective_batch", 15), ("repeats", 2)],
)
def test_what_parts_a_pair_is_refused(garments: Path, key: str, value: int) -> None:
    config = config_of(garments, 2)
    holders = {"batch_size": config.train_dataloader, "repeats": config.train_dataloader.dataset}
    holders.get(key, config)[key] = value
    with pytest.raises(UserError, match="mixing takes pairs of images"):
        finetune.check(config, "random")


def test_memory_does_not_decide_a_result(garments: Path) -> None:
    config = config_of(garments, 2)
    config.train_dataloader.batch_size = "auto"
    finetune.check(config, "random")
    config.effective_batch = None
    with pytest.raises(UserError, match="auto without effective_batch"):
        finetune.check(config, "random")
    config.effective_batch = 16
    with pytest.raises(UserError, match="here the result depends on it"):
        linear_probe.check(config, "random")
