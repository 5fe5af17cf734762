"""Sharded training (FSDP): each process keeps a part of weights, gradients and optimizer."""

from copy import deepcopy
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils import apply_to
from timm.models.vision_transformer import Block
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mae_core.encoders.base import Encoder
from mae_core.errors import UserError


def is_sharded(config: Config) -> bool:
    """Whether `config.sharded` asks for shards, and there are several processes to hold them.

    Raises:
        UserError: if the config also asks for `ema` or `compile`, which need the whole model.
    """
    if not config.get("sharded"):
        return False
    for key in ("ema", "compile"):
        if config.get(key):
            raise UserError(f"sharded=True and {key}={config[key]} do not go together: drop one")
    return is_distributed()


class ShardedRunner(Runner):
    """A Runner whose processes share one model.

    Checkpoints are those of the whole model: an unsharded training goes on from them, and the other
    way round.

    Attributes:
        original: the model as it was given, on the CPU; see :meth:`whole_model`.
    """

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.register_hook(ShardHook())

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Shard a copy; the device never holds the whole."""
        self.original = model.cpu()
        super()._init_model_weights()  # also makes them the main process's everywhere
        return shard(deepcopy(self.original)).to(get_device())

    def _init_model_weights(self) -> None:
        """Nothing: parts cannot be initialised, and the whole was."""

    def whole_model(self) -> nn.Module:
        """The model that was given, with the weights of now; to be called in all processes."""
        own = self.original.state_dict()
        for name, value in self.model.state_dict().items():
            own[name].copy_(whole(value))
        return self.original

    def save_checkpoint(self, *args: Any, **fields: Any) -> None:
        """Gather the state in all processes; the main one writes it."""
        self.gathered = {
            "state_dict": gather(self.model.state_dict()),
            "optimizer": gather(self.optim_wrapper.state_dict()),
        }
        super().save_checkpoint(*args, **fields)
        del self.gathered

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = "cpu",
    ) -> None:
        """mmengine's, but the whole state is read to the CPU."""
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)


class ShardHook(Hook):
    """Whole tensors in the checkpoints of a :class:`ShardedRunner`, parts in its processes."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Put in what was gathered."""
        checkpoint.update(runner.gathered)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep this process's part."""
        weights, own = checkpoint["state_dict"], runner.model.state_dict()
        weights.update({name: part(value, own[name]) for name, value in weights.items()})
        parameters = [p for group in runner.optim_wrapper.param_groups for p in group["params"]]
        for number, state in checkpoint["optimizer"]["state"].items():
            like = parameters[number]
            state.update({name: part(value, like) for name, value in state.items()})


def shard(model: nn.Module) -> nn.Module:
    """Shard `model` in place over all processes: each block of encoders and decoders, the rest."""
    mesh = init_device_mesh(get_device(), (get_world_size(),))
    blocks: list[nn.Module] = [m for m in model.modules() if isinstance(m, Block)]
    for module in model.modules():
        if isinstance(module, Encoder):
            blocks += [block for block in module.block_modules() if block not in blocks]
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def whole(value: torch.Tensor) -> torch.Tensor:
    """A tensor put together from all processes' parts, or as it is if it has none."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def part(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """This process's part of a whole tensor, laid out as `like`; one of another shape as it is."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    placed = distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    return placed.clone()  # not a view, which would keep the whole


def gather(state: Any) -> Any:
    """A nested state with whole tensors on the CPU, None in their place but in the main process."""

    def collect(value: torch.Tensor) -> torch.Tensor | None:
        full = whole(value)
        return full.cpu() if is_main_process() else None

    return apply_to(state, lambda value: isinstance(value, torch.Tensor), collect)
