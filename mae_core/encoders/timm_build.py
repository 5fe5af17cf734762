"""Models of timm by name, without their classifiers."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg, get_model_traits
from timm.models.hiera import Hiera
from torch import Tensor, nn
from torch.func import functional_call

from mae_core.encoders.base import Preprocessing
from mae_core.errors import UserError

MOST_CHANNELS = 1 << 10
FAULTS = (  # what timm's models raise for a size that does not fit
    *(AssertionError, RuntimeError, ValueError, TypeError, ZeroDivisionError, IndexError),
    KeyError,
)
# timm's options that not every model takes.
NOT_ALL = ("img_size", "dynamic_img_size", "drop_path_rate")
# Their `forward_features` gives no features of places: two lists, and class tokens alone.
PLACELESS = ("CrossVit", "EfficientViM", "PoolingVisionTransformer")


def published(model: str) -> PretrainedCfg:
    """What timm says of the weights that a name, such as 'resnet50.a1_in1k', stands for.

    Raises:
        UserError: if timm has no such model, or no such weights of it.
    """
    if not isinstance(model, str) or not timm.is_model(model):
        near = difflib.get_close_matches(str(model).partition(".")[0], timm.list_models(), n=5)
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise UserError(f"timm has no model called '{model}'{hint} (timm.list_models() has all)")
    try:
        return timm.get_pretrained_cfg(model) or PretrainedCfg()
    except RuntimeError as error:
        name, _, tag = model.partition(".")
        names = timm.list_pretrained(f"{name}.*")
        tags = ", ".join(one.partition(".")[2] for one in names) or "none"
        raise UserError(
            f"timm's {name} has no weights called '{tag}': expected one of {tags}, or '{name}' "
            "alone"
        ) from error


def preprocessing_of(cfg: PretrainedCfg) -> Preprocessing:
    """What the images were like that weights were trained on, as our transforms can have it."""
    height, width = cfg.input_size[-2:]
    return Preprocessing(
        (height, width),
        tuple(255 * value for value in cfg.mean),
        tuple(255 * value for value in cfg.std),
        cfg.interpolation if cfg.interpolation in ("bilinear", "bicubic") else "bicubic",
        cfg.crop_pct or 1.0,
    )


def build_model(
    model: str,
    img_size: tuple[int, int],
    in_chans: int,
    drop_path: float,
    own_options: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """A model without its classifier, with new weights, for images of any size if it can.

    Args:
        model: timm's name, with or without the one of its weights.
        img_size: height and width; models of any size pass over it.
        in_chans: channels.
        drop_path: stochastic depth, 0 to below 1.
        own_options: other arguments of timm's class, see
            :func:`mae_core.encoders.timm_options.checked_options`.

    Raises:
        UserError: if it cannot be built so.
    """
    check_numbers(img_size, in_chans, drop_path)
    options: dict[str, Any] = {
        "img_size": img_size,
        "dynamic_img_size": True,
        "in_chans": in_chans,
        "num_classes": 0,
        "drop_path_rate": drop_path,
        **own_options,
    }
    for _ in range(len(NOT_ALL) + 1):
        try:
            built: Any = timm.create_model(model, **options)
            break
        except FAULTS as error:
            refused = [name for name in NOT_ALL if f"'{name}'" in str(error) and name in options]
            if not refused or "argument" not in str(error):
                others = f", options={dict(own_options)}" if own_options else ""
                raise UserError(
                    f"timm cannot build {model} with img_size={list(img_size)} and "
                    f"in_chans={in_chans}{others}: {first_line(error)}"
                ) from error
            for name in refused:
                del options[name]
    # A CoaT that is not 'lite' gives a list too.
    if type(built).__name__ in PLACELESS or getattr(built, "parallel_blocks", None) is not None:
        raise UserError(f"timm's {model} ends in no features of places: take another model")
    if drop_path and not any(isinstance(one, timm.layers.DropPath) for one in built.modules()):
        raise UserError(f"drop_path={drop_path}: timm's {model} has no stochastic depth, take 0")
    return built


def check_numbers(img_size: tuple[int, int], in_chans: int, drop_path: float) -> None:
    """Raise UserError for numbers that no model can have."""
    if min(img_size) < 1 or max(img_size) > 1 << 16:
        raise UserError(f"img_size={list(img_size)}: expected 1 to {1 << 16} pixels")
    whole = isinstance(in_chans, int) and not isinstance(in_chans, bool)
    if not whole or not 1 <= in_chans <= MOST_CHANNELS:
        raise UserError(f"in_chans={in_chans!r}: expected a whole number from 1 to {MOST_CHANNELS}")
    if not isinstance(drop_path, int | float) or not 0 <= drop_path < 1:
        raise UserError(f"drop_path={drop_path!r}: expected a number from 0 to below 1")


def strides_of(model: Any) -> tuple[int, ...]:
    """Pixels between two places of a model's maps, layer by layer.

    timm states them, for a Hiera with other options than the published ones not as they are.
    """
    if not isinstance(model, Hiera):
        return tuple(one["reduction"] for one in model.feature_info)
    poolings = (min(stage, max(model.q_pool, 0)) for stage in range(len(model.stage_ends)))
    return tuple(model.patch_stride[0] * model.q_stride[0] ** times for times in poolings)


class Maps(nn.Module):
    """A model of timm whose forward gives maps, as `functional_call` needs it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Any:
        """(N, C, H, W) -> what timm's `forward_intermediates` gives."""
        return self.model.forward_intermediates(images)


def fault_of(model: Any, size: tuple[int, int]) -> str | None:
    """Why images of a size cannot go through a model, in timm's words; empty if they can.

    Shapes are enough for nearly all, and cost the same whatever the size. Only what fails with
    them is computed: a few models look at values, or have tensors that are no buffers.

    Args:
        model: of timm.
        size: height and width.

    Returns:
        None where it stays unknown, as the model itself is on 'meta'.
    """
    fault = fault_on("meta", model, size)
    if fault:
        fault = fault_on(next(model.parameters()).device, model, size)
    return None if "on meta tensors" in fault else fault


def fault_on(device: torch.device | str, model: Any, size: tuple[int, int]) -> str:
    """What one image fails with that goes through a model on a device, in timm's words."""
    maps, training = Maps(model), model.training
    state = {**dict(maps.named_parameters()), **dict(maps.named_buffers())}
    moved = {name: value.to(device) for name, value in state.items()}
    image = torch.zeros(1, get_model_traits(model)["in_chans"], *size, device=device)
    model.eval()
    try:
        with torch.no_grad():
            functional_call(maps, moved, image)
    except FAULTS as error:
        return first_line(error)
    finally:
        model.train(training)
    return ""


def first_line(error: Exception) -> str:
    """The first line of an exception's message, or its kind if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
