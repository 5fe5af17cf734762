"""Images that grow while a pretraining goes on: cheaper steps first, the full size at the end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from torch.nn import functional as F

from mae_core.encoders.base import to_pair
from mae_core.encoders.timm_build import FAULTS, first_line
from mae_core.engine.optim import unwrapped
from mae_core.errors import UserError
from mae_core.methods import Method

EXAMPLE = "((0.0, 128), (0.5, 176), (0.8, 224))"


@dataclass(frozen=True)
class Phase:
    """A part of a training.

    Attributes:
        begin, end: shares of the training's updates, 0 to 1.
        size: (H, W) of its images, in pixels.
    """

    begin: float
    end: float
    size: tuple[int, int]


def phases_of(config: Mapping[str, Any], full: tuple[int, int]) -> tuple[Phase, ...]:
    """The parts that `config.input_sizes` says; one of the full size where it is missing or None.

    Args:
        config: of a pretraining. `input_sizes` has pairs of a share of the training and the size
            from there on, a number or (H, W).
        full: (H, W) of the encoder, which no size exceeds.

    Raises:
        UserError: if it is no such list, or a size is larger than the encoder's.
    """
    given = config.get("input_sizes")
    if given is None:
        return (Phase(0.0, 1.0, full),)
    try:
        begins = [float(share) for share, _ in given]
        sizes = [to_pair(size) for _, size in given]
    except (TypeError, ValueError, UserError) as error:
        raise UserError(
            f"input_sizes={given!r}: expected pairs of a share of the training and the size from "
            f"there on, such as {EXAMPLE}"
        ) from error
    ends = [*begins[1:], 1.0]
    if begins[:1] != [0.0] or not all(a < b for a, b in zip(begins, ends, strict=True)):
        raise UserError(
            f"input_sizes={given!r}: expected shares that grow from 0.0 to below 1, as in {EXAMPLE}"
        )
    for size in sizes:
        if any(not 0 < one <= most for one, most in zip(size, full, strict=True)):
            raise UserError(
                f"input_sizes: images of {size[0]}×{size[1]} pixels, where those of the encoder "
                f"(img_size) have {full[0]}×{full[1]}: choose sizes up to that"
            )
    return tuple(Phase(*part) for part in zip(begins, ends, sizes, strict=True))


def size_at(phases: Sequence[Phase], step: int, steps: int) -> tuple[int, int]:
    """(H, W) of the images of an update, of which the first is step 0."""
    return [phase.size for phase in phases if math.ceil(phase.begin * steps) <= step][-1]


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) float in a size (H, W), smoothed against aliasing."""
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True)


class InputSizeHook(Hook):
    """Sets `input_size` of the model before each step; a resumed training goes on as it would."""

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = phases

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the size of the update that this step belongs to."""
        accumulated = runner.optim_wrapper._accumulative_counts
        step, steps = runner.iter // accumulated, runner.max_iters // accumulated
        unwrapped(runner.model).input_size = size_at(self.phases, step, steps)


@torch.no_grad()
def check_sizes_of(method: Method, phases: Sequence[Phase]) -> None:
    """Raise UserError unless images of all sizes go through a method, which is on 'meta'.

    Of what 'meta' cannot compute at all, such as masked convolutions, only its own checks count.
    """
    encoder, unknown = method.encoder, False
    for size in {encoder.img_size: None, **{phase.size: None for phase in phases}}:
        said = f"input_sizes: images of {size[0]}×{size[1]} pixels"
        stride = encoder.strides[-1]
        if any(side % stride for side in size):
            raise UserError(f"{said} have no whole patches of {stride}: choose multiples")
        images = torch.zeros((2, encoder.config["in_chans"], *size), device="meta")
        try:
            method.losses(images, torch.zeros(2, dtype=torch.int64, device="meta"))
        except UserError as error:
            raise UserError(f"{said}: {error}") from error
        except FAULTS as error:
            unknown = unknown or size == encoder.img_size  # which comes first
            if unknown:
                continue
            raise UserError(
                f"{said} do not go through the method {method.name} around this encoder: "
                f"{first_line(error)}"
            ) from error
