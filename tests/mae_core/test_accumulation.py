"""One update is the same, however many steps its images are spread over."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub

from mae_core import UserError, pretrain
from mae_core.checkpoints import read_state
from mae_core.config import load_config
from mae_core.engine.hooks import AverageHook
from mae_core.engine.train import train
from mae_core.stage import SilentReporter, StageResult
from tests.line import LOADER, Points, line, line_runner

SGD = {"optimizer": {"type": "SGD", "lr": 0.01}}


def run(configs: Path, folder: Path, micro: int, *overrides: str) -> StageResult:
    """A pretraining of 12 updates of 8 images, `micro` of them at once."""
    MessageHub._instance_dict.clear()  # as in a new process
    batch = (f"train_dataloader.batch_size={micro}", "effective_batch=8")
    config = load_config(str(configs / "pretrain.py"), overrides=[*batch, *overrides])
    config.encoder.update(depth=2, drop_path=0.5)
    return pretrain.run(config, "random", folder, SilentReporter())


def assert_alike(first: StageResult, second: StageResult) -> None:
    """Weights equal but for rounding, which alone decides the bias of keys (see test_launch)."""
    a, b = (read_state(result.artifacts["mae"]) for result in (first, second))
    for name in a:
        x, y = a[name], b[name]
        if name.endswith("qkv.bias"):
            x, y = (torch.cat([v.chunk(3)[i] for i in (0, 2)]) for v in (x, y))
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("overrides", [(), ("ema=0.9",), ("mae.decode_ratio=0.5",)])
def test_a_pretraining_of_1x8_is_one_of_4x2(
    configs: Path, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    """Its warm-up, average of the weights, and draws, and the loss that it reports."""
    spread, whole = (
        run(configs, tmp_path / str(micro), micro, "schedule.warmup_epochs=2", *overrides)
        for micro in (2, 8)
    )
    assert_alike(spread, whole)
    loss = "pretrain/loss"
    assert spread.metrics[loss].value == pytest.approx(whole.metrics[loss].value, rel=1e-4)


@pytest.mark.parametrize("micro", [2, 4, 8])
def test_the_rates_go_by_update(tmp_path: Path, micro: int) -> None:
    """16 points, 8 an update, 5 epochs: 4 updates of warm-up, then 6 of the cosine."""
    runner = line_runner(
        tmp_path,
        Points(16),
        train_dataloader={**LOADER, "batch_size": micro},
        effective_batch=8,
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 1.0}},
        schedule={"warmup_epochs": 2},
        train_cfg={"by_epoch": True, "max_epochs": 5},
        default_hooks={"param_scheduler": {"type": "UpdateSchedulerHook"}},
    )
    rates = train(runner).rates
    expected = [0.001 + 0.999 * update / 3 for update in range(4)]
    expected += [(1 + math.cos(math.pi * update / 6)) / 2 for update in range(6)]
    steps = 8 // micro
    assert rates[::steps] == pytest.approx(expected)
    assert all(len(set(rates[i : i + steps])) == 1 for i in range(0, len(rates), steps))


@pytest.mark.parametrize("micro", [2, 8])
def test_the_average_has_one_term_for_each_update(tmp_path: Path, micro: int) -> None:
    runner = line_runner(
        tmp_path,
        train_dataloader={**LOADER, "batch_size": micro},
        effective_batch=8,
        optim_wrapper=SGD,
        ema=0.7,
        train_cfg={"by_epoch": True, "max_epochs": 6},
    )
    seen: list[torch.Tensor] = []
    hook = next(hook for hook in runner.hooks if isinstance(hook, AverageHook))
    after = hook.after_train_iter

    def note(runner_: object, *args: object, **fields: object) -> None:
        after(runner_, *args, **fields)
        if (runner.iter + 1) % (8 // micro) == 0:
            seen.append(runner.model.layer.weight.detach().clone())

    hook.after_train_iter = note  # type: ignore[method-assign]
    train(runner)
    average = seen[0]
    for weight in seen[1:]:
        average = 0.7 * average + 0.3 * weight
    assert len(seen) == 6
    torch.testing.assert_close(hook.ema_model.module.layer.weight, average)


def test_accumulation_needs_the_sampler_that_knows_of_updates(tmp_path: Path) -> None:
    plain = {**LOADER, "sampler": {"type": "DefaultSampler", "shuffle": True}}
    with pytest.raises(UserError, match=r"takes 2 steps: .*sampler\.type=DrawSampler"):
        line(tmp_path, train_dataloader=plain, effective_batch=4)
