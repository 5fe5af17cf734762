"""How many images make one update: devices, accumulation, and the rate that follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from mae_core.errors import UserError

AUTO = "auto"  # in place of a batch size, see mae_core.engine.auto_batch


@dataclass(frozen=True)
class Batch:
    """Images of one update.

    Attributes:
        micro: images that a device handles at once.
        devices: how many work together.
        accumulate: steps whose gradients make one update.
    """

    micro: int
    devices: int
    accumulate: int

    @property
    def step(self) -> int:
        """Images of one step, over all devices."""
        return self.micro * self.devices

    @property
    def update(self) -> int:
        """Images of one update: the effective batch."""
        return self.step * self.accumulate


def batch_of(config: Config, devices: int) -> Batch:
    """The batch that `train_dataloader.batch_size` and `effective_batch` ask for.

    `effective_batch`, if there and not None, is the number of images of one update whatever the
    number of devices.

    Raises:
        UserError: if it is no multiple of the images that the devices handle at once.
    """
    loader = config.train_dataloader
    micro = loader.batch_size * loader.get("dataset", {}).get("repeats", 1)
    wanted = config.get("effective_batch") or micro * devices
    if wanted % (micro * devices):
        raise UserError(
            f"effective_batch={wanted} is no multiple of the {micro * devices} images that "
            f"{devices} device(s) × batch_size {micro} handle at once: choose a "
            "train_dataloader.batch_size that divides it"
        )
    return Batch(micro, devices, wanted // (micro * devices))


def check_batch(config: Mapping[str, Any], takes_auto: bool = True) -> None:
    """Raise UserError for a batch that the machine would decide, or that parts images to be mixed.

    Args:
        config: of a training.
        takes_auto: whether the stage's result is the same for each `batch_size`, given an
            `effective_batch`; only then may the machine's memory choose one.
    """
    loader, update = config["train_dataloader"], config.get("effective_batch")
    size, repeats = loader["batch_size"], loader.get("dataset", {}).get("repeats", 1)
    if size == AUTO and not takes_auto:
        raise UserError(
            "train_dataloader.batch_size=auto: here the result depends on it: set a number"
        )
    if size == AUTO and not update:
        raise UserError(
            "train_dataloader.batch_size=auto without effective_batch: the machine's memory would "
            "decide the result: set effective_batch, the images of one update"
        )
    numbers = [number for number in (size, update) if isinstance(number, int)]
    if config.get("mixing") and (repeats > 1 or any(number % 2 for number in numbers)):
        raise UserError(
            f"mixing takes pairs of images: train_dataloader.batch_size={size} and effective_batch="
            f"{update} must be even, and train_dataloader.dataset.repeats={repeats} must be 1"
        )
    if isinstance(size, int) and update and update % (size * repeats):
        raise UserError(
            f"effective_batch={update} is no multiple of train_dataloader.batch_size={size}"
            f"{f' × repeats={repeats}' if repeats > 1 else ''}: choose a batch_size that divides it"
        )


def scaled_optimizer(config: Config, batch: Batch) -> dict[str, Any]:
    """`config.optim_wrapper` with the accumulation and the rate of this batch.

    With `auto_scale_lr.enable` the rate is the recipe's times batch / `base_batch_size` (the linear
    rule of Goyal et al. 2017, arXiv 1706.02677; paper, A.1).
    """
    wrapper: dict[str, Any] = {"type": "FiniteOptimWrapper", **config.optim_wrapper}
    wrapper["accumulative_counts"] = batch.accumulate
    scale = config.get("auto_scale_lr") or {}
    if scale.get("enable"):
        optimizer = wrapper["optimizer"]
        rate = optimizer["lr"] * batch.update / scale["base_batch_size"]
        wrapper["optimizer"] = {**optimizer, "lr": rate}
    return wrapper
