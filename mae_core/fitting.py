"""Fitting weights to other images: positions to the grid, the embedding to channels or patch."""

from collections.abc import Mapping, Sequence

import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from timm.models import adapt_input_conv
from torch import Tensor

from mae_core.errors import UserError
from mae_core.grids import grid_of
from mae_core.layouts import StateDict

RGB = ("red", "green", "blue")
POSITIONS = ("encoder.pos_embed", "decoder.pos_embed")
EMBEDDING = "encoder.patch_embed.proj.weight"
PREDICTION = ("decoder.pred.weight", "decoder.pred.bias")


def fit_positions(
    state: StateDict, grid: tuple[int, int], old: tuple[int, int] | None = None
) -> list[str]:
    """Resample the position tables (1, 1 + L, D) in `state` to `grid`; the changed keys.

    `old` is their grid; without it, it is what the table tells (:func:`grid_of`), or `grid` if that
    has as many positions.

    Raises:
        UserError: if that leaves it open, or a table has another number of positions.
    """
    changed = []
    old = old or grid_of(state)
    for key in POSITIONS:
        if key not in state:
            continue
        length = state[key].shape[1] - 1
        source = old or (grid if length == grid[0] * grid[1] else None)
        if source is None:
            raise UserError(
                f"'{key}' has {length + 1} positions: expected a class token and a square grid "
                f"of a published model, or the {grid[0]}×{grid[1]} here. `mae-bench convert FILE "
                "OUT.safetensors --to native --img-size HEIGHTxWIDTH` makes a file that says which"
            )
        if source[0] * source[1] != length:
            raise UserError(
                f"'{key}' has {length + 1} positions: expected a class token and "
                f"{source[0]}×{source[1]} patches"
            )
        if source != grid:
            state[key] = resample_abs_pos_embed(state[key], list(grid), list(source))
            changed.append(key)
    return changed


def rgb_places(bands: Mapping[str, int] | None, channels: int) -> tuple[int, ...] | None:
    """The channels of red, green and blue, from 0; None where `bands` says nothing.

    Raises:
        UserError: unless it names each with a channel of its own, below `channels`.
    """
    if bands is None:
        return None
    places = [bands.get(colour) for colour in RGB] if isinstance(bands, Mapping) else []
    whole = all(type(place) is int and 0 <= place < channels for place in places)
    if not whole or len(set(places)) != 3 or len(bands) != 3:
        raise UserError(
            f"encoder.rgb_bands={bands!r}: expected dict(red=, green=, blue=), three different "
            f"numbers from 0 to {channels - 1}"
        )
    return tuple(place for place in places if place is not None)


def spread_rgb(weight: Tensor, channels: int, places: Sequence[int]) -> Tensor:
    """(D, 3, h, w) -> (D, channels, h, w): each colour's kernel at its place, elsewhere their mean.

    Scaled as timm does, so that the output keeps its size where all channels are alike.
    """
    kernels = weight.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
    kernels[:, list(places)] = weight
    return kernels * (3 / channels)


def fit_channels(state: StateDict, wanted: int, places: Sequence[int] | None = None) -> list[str]:
    """Adapt RGB weights in `state` to the channels `wanted`; the changed keys.

    The embedding as timm does: summed for grey, else repeated and scaled, so that its output
    keeps its size. The decoder's prediction: the mean for grey, else repeated. With `places`, those
    of red, green and blue, other channels take the mean of the three.

    Raises:
        UserError: if channels differ and those of `state` are not three.
    """
    if EMBEDDING not in state:
        return []
    found = state[EMBEDDING].shape[1]
    if found == wanted:
        return []
    if found != 3:
        raise UserError(
            f"its encoder looks at {found} channels, the model at {wanted}: only weights for RGB "
            "can be adapted"
        )
    if places is None:
        state[EMBEDDING] = adapt_input_conv(wanted, state[EMBEDDING])
    else:
        state[EMBEDDING] = spread_rgb(state[EMBEDDING], wanted, places)
    changed = [key for key in PREDICTION if key in state]
    for key in changed:
        state[key] = _adapt_prediction(state[key], wanted, places)
    return [EMBEDDING, *changed]


def fit_patches(state: StateDict, patch_size: int) -> list[str]:
    """Resample the embedding in `state` to patches of another size; the changed keys.

    A resized patch gives about the tokens that the old one gave (Beyer et al. 2022, FlexiViT,
    arXiv 2212.08013, 3.4).
    """
    if EMBEDDING not in state or state[EMBEDDING].shape[-1] == patch_size:
        return []
    state[EMBEDDING] = resample_patch_embed(state[EMBEDDING], [patch_size, patch_size])
    return [EMBEDDING]


def _adapt_prediction(value: Tensor, channels: int, places: Sequence[int] | None = None) -> Tensor:
    """(p*p*3, ...) -> (p*p*C, ...), pixels in (row, column, channel) order."""
    pixels = value.unflatten(0, (-1, 3))
    if places is not None:
        spread = pixels.mean(dim=1, keepdim=True).repeat_interleave(channels, dim=1)
        spread[:, list(places)] = pixels
        return spread.flatten(0, 1)
    if channels == 1:
        return pixels.mean(dim=1)
    return pixels[:, torch.arange(channels) % 3].flatten(0, 1)
