from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from torch import nn
from torch.distributed.tensor import DTensor

from mae_core import UserError, create_model
from mae_core.engine.finite import FiniteOptimWrapper
from mae_core.engine.sharded import gather, is_sharded, part, shard, whole

pytestmark = pytest.mark.slow

TINY: dict[str, Any] = {"img_size": 12, "patch_size": 6, "width": 16, "depth": 2, "heads": 2}


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return create_model("vit-tiny-p16", **TINY, decoder_width=16, decoder_depth=1, decoder_heads=2)


def join(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    holds_half_and_gathers_the_whole(rank)
    has_the_gradients_of_the_mean(rank)
    skips_in_all_what_is_not_finite_in_one(rank)
    dist.destroy_process_group()


def holds_half_and_gathers_the_whole(rank: int) -> None:
    expected = tiny().state_dict()
    model = shard(tiny())
    parameters = [p for p in model.parameters() if isinstance(p, DTensor)]
    assert len(parameters) == len(list(model.parameters()))
    local = sum(p.to_local().numel() for p in parameters)
    assert 0.45 < local / sum(p.numel() for p in parameters) < 0.55
    found = gather(model.state_dict())
    if rank:
        assert set(found.values()) == {None}
        return
    torch.testing.assert_close(dict(found), dict(expected), rtol=0, atol=0)
    for name, own in model.state_dict().items():
        again = part(expected[name], own)
        assert torch.equal(again.to_local(), own.to_local())
        assert again.to_local().untyped_storage().nbytes() == own.to_local().nbytes


def has_the_gradients_of_the_mean(rank: int) -> None:
    """Also with activation checkpointing, and added up over two steps."""
    alone, model = tiny(), tiny()
    turn_on_activation_checkpointing(model, ["encoder.blocks.0", "encoder.blocks.1"])
    shard(model)
    images = torch.rand(2, 2, 3, 12, 12)  # step, process: the seed is the processes' same
    noise = torch.rand(1, 4)
    for step in images:
        alone(step, noise.expand(2, -1)).loss.backward()
        model(step[rank : rank + 1], noise).loss.backward()
    for (name, p), q in zip(alone.named_parameters(), model.parameters(), strict=True):
        if p.grad is not None and not name.endswith("qkv.bias"):
            torch.testing.assert_close(whole(q.grad), p.grad, rtol=1e-4, atol=1e-6)


def skips_in_all_what_is_not_finite_in_one(rank: int) -> None:
    model = shard(tiny())
    trained = [p for p in model.parameters() if p.requires_grad]
    wrapper = FiniteOptimWrapper(torch.optim.AdamW(trained, lr=0.1, fused=True))
    weights = [whole(trained[0]).detach().clone()]
    for scale in (float("nan") if rank else 1.0, 1.0):
        wrapper.update_params(scale * model(torch.rand(1, 3, 12, 12), torch.rand(1, 4)).loss)
        weights.append(whole(trained[0]).detach().clone())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
    assert (wrapper.skipped, wrapper.streak) == (1, 0)


def test_a_model_in_two_processes(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(join, (str(tmp_path),), nprocs=2)


def test_what_needs_the_whole_model_is_refused() -> None:
    assert not is_sharded(Config({"sharded": True, "ema": None}))  # one process has all of it
    for key, value in (("ema", 0.9), ("compile", True)):
        with pytest.raises(UserError, match=f"sharded=True and {key}={value} do not go together"):
            is_sharded(Config({"sharded": True, key: value}))
