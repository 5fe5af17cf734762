"""Reading and writing weights, so that nothing fails to load in silence.

Our own files are safetensors whose metadata holds the encoder's fields: a file says by itself
what it is. Foreign files are read with `weights_only=True`, in any of the known layouts.
"""

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mae_core.encoder import ViTEncoder
from mae_core.errors import UserError
from mae_core.files import replacing
from mae_core.fitting import fit_channels, fit_patches, fit_positions
from mae_core.grids import image_size, patch_size
from mae_core.layouts import StateDict, detect, from_layout
from mae_core.models import create_encoder
from mae_core.patches import grid_size
from mae_core.pixels import pixels_beside, stated_pixels
from mae_core.reading import foreign_sizes, read_content, read_metadata
from mae_core.unwrap import choose, described, state_dicts, unwrap

log = logging.getLogger(__name__)

NOT_ENCODER = (  # begin keys that an encoder may leave out
    *("decoder.", "head.", "fc_norm."),
    "vit.pooler.",  # transformers' layer on the class token, for tasks on text
    "vit.embeddings.mask_token",
)
SIZES = ("patch_size", "width", "depth", "heads")  # the first can be resampled


@dataclass(frozen=True)
class LoadReport:
    """What became of every key of a checkpoint.

    Attributes:
        loaded: keys taken over.
        missing: keys of the model that the checkpoint does not have.
        unexpected: keys of the checkpoint that the model does not have.
        resized: tensors fitted to the model's grid or channels.
        notes: what was taken off around the weights, see :mod:`mae_core.unwrap`.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    resized: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = (
            f"loaded {len(self.loaded)} keys, missing {list(self.missing)}, "
            f"unexpected {list(self.unexpected)}, resized {list(self.resized)}"
        )
        return "; ".join([said, *self.notes])


class Read(NamedTuple):
    """A checkpoint's weights.

    Attributes:
        layout: a name of :data:`mae_core.layouts.LAYOUTS`.
        state: all tensors in our names.
        notes: what was taken off around them.
        about: what the file says of the model: our metadata, or others' `image_size`, `heads` and
            `pixels`.
    """

    layout: str
    state: StateDict
    notes: tuple[str, ...]
    about: dict[str, Any]


def load_weights(
    model: nn.Module, path: str | os.PathLike[str], resample_patches: bool = False
) -> LoadReport:
    """Load a checkpoint of any known layout into an encoder or a MAE; say what became of each key.

    Positions are resampled to the model's grid, RGB weights adapted to its channels, and with
    `resample_patches` the embedding to its patches (all are in the report's `resized`).

    Raises:
        UserError: if the file cannot be read, if a tensor has another shape, or if the checkpoint
            has none of the model's keys.
    """
    prefix = "encoder." if isinstance(model, ViTEncoder) else ""
    own = {f"{prefix}{key}": value for key, value in model.state_dict().items()}
    _, state, notes, about = read_layout(path)
    loaded = [key for key in own if key in state]
    if not loaded:
        raise UserError(
            f"{path} holds none of the {len(own)} weights of this model "
            f"(first keys there: {sorted(state)[:3]}, here: {sorted(own)[:3]})"
        )
    resized = _fit(model, state, own, path, about, resample_patches)
    for key in loaded:
        if state[key].shape != own[key].shape:
            raise UserError(
                f"{path}: '{key}' is {tuple(state[key].shape)}, the model needs "
                f"{tuple(own[key].shape)}: use a config with the checkpoint's sizes"
            )
        check_values(state[key], f"{path}: '{key}'")
    model.load_state_dict({key.removeprefix(prefix): state.get(key, own[key]) for key in own})

    def names(keys: Iterable[str]) -> tuple[str, ...]:
        return tuple(key.removeprefix(prefix) for key in keys)

    missing, unexpected = sorted(own.keys() - state), sorted(state.keys() - own)
    return LoadReport(names(loaded), names(missing), names(unexpected), names(resized), notes)


def check_values(value: Tensor, name: str) -> None:
    """Raise UserError unless a tensor is one of finite real numbers with a fraction."""
    if not value.is_floating_point() or value.layout != torch.strided:
        kind = str(value.dtype).removeprefix("torch.")
        raise UserError(f"{name} holds {kind}: expected float; quantised weights do not load")
    if not value.isfinite().all():
        raise UserError(f"{name} is not finite everywhere: the training that wrote it diverged")


def _fit(
    model: nn.Module,
    state: StateDict,
    own: StateDict,
    path: str | os.PathLike[str],
    about: dict[str, Any],
    resample_patches: bool,
) -> list[str]:
    """Fit positions, channels and patches in `state` to the model; the changed keys."""
    encoder = cast(Any, model if isinstance(model, ViTEncoder) else model.encoder)
    try:
        old = None
        if about.get("encoder") or about.get("image_size"):
            old = grid_size(*image_size(state, about), patch_size(state))
        return [
            *fit_positions(state, encoder.grid, old),
            *fit_channels(state, {key: value.shape for key, value in own.items()}),
            *(fit_patches(state, encoder.patch_size) if resample_patches else []),
        ]
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def load_encoder(path: str | os.PathLike[str], **overrides: Any) -> ViTEncoder:
    """The encoder stored at `path`, built from the fields in the file.

    Args:
        path: an encoder written by :func:`save_weights`.
        overrides: fields that may differ, such as `img_size` (positions are resampled).

    Raises:
        UserError: if the file is not ours, is damaged, or lacks a weight.
    """
    fields = read_metadata(path).get("encoder")
    if fields is None:
        raise UserError(
            f"{path} does not say what encoder it holds: expected a .safetensors file written by "
            "mae-bench (mae-bench convert --to native makes one)"
        )
    encoder = ViTEncoder(**{**fields, **overrides})
    load_whole(encoder, path)
    return encoder


def build_encoder(fields: dict[str, Any], source: str) -> ViTEncoder:
    """The encoder of a stage.

    Args:
        fields: `arch` and overrides, as in :func:`mae_core.create_encoder`.
        source: 'random' for freshly initialised weights, else the path of a checkpoint in any
            known layout, whose sizes must agree with `fields`.
    """
    check_sizes(fields, source)
    encoder = create_encoder(**fields)
    if source == "random":
        return encoder
    log.info("%s: %s", source, load_whole(encoder, source))
    return encoder


def check_sizes(fields: dict[str, Any], source: str, resample_patches: bool = False) -> None:
    """Raise UserError unless `fields` make an encoder, of the sizes that a file of ours names.

    Also if what a file says of its pixels is not to be used, or it is a classifier of ours whose
    norm is not its encoder's.

    Args:
        fields: as in :func:`mae_core.create_encoder`.
        source: 'random', or the path of a checkpoint; other layouts than ours name no sizes.
        resample_patches: whether the patch may have another size.
    """
    with torch.device("meta"):
        wanted = create_encoder(**fields).config
    if source == "random":
        return
    stated_pixels(source)
    about = read_metadata(source)
    if about.get("pool") == "avg" and not about.get("norm_first"):
        raise UserError(
            f"{source} is a classifier that norms after pooling (fc_norm), for which an encoder "
            "has no place: take the encoder that it was made from, or one of mae-bench supervise"
        )
    stored = about.get("encoder")
    for key in SIZES[resample_patches:]:
        if stored is not None and stored[key] != wanted[key]:
            raise UserError(
                f"encoder {source} has {key}={stored[key]}, the config asks for "
                f"{key}={wanted[key]}: change `encoder` in the config"
            )


def load_whole(
    encoder: ViTEncoder, path: str | os.PathLike[str], resample_patches: bool = False
) -> LoadReport:
    """Load every weight of an encoder. Raises UserError if one is missing or has no place."""
    report = load_weights(encoder, path, resample_patches)
    odd = [key for key in report.unexpected if not key.startswith(NOT_ENCODER)]
    if report.missing:
        pooled = any(key.startswith("fc_norm.") for key in report.unexpected)
        hint = ": it is a classifier that norms after pooling (fc_norm)" if pooled else ""
        missing = ", ".join(report.missing[:5])
        raise UserError(f"{path} lacks weights of its encoder: {missing}{hint}")
    if odd:
        raise UserError(
            f"{path} has weights that this encoder has no place for: {', '.join(odd[:5])}. "
            "Without them its features would be others"
        )
    return report


def save_weights(path: str | os.PathLike[str], model: nn.Module, **metadata: Any) -> None:
    """Write a model's weights as safetensors, atomically, with JSON metadata."""
    save_state(path, model.state_dict(), **metadata)


def save_state(path: str | os.PathLike[str], state: StateDict, **metadata: Any) -> None:
    """As :func:`save_weights`, from a state dict; text in the metadata stays as it is."""
    path = Path(path)
    content = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    with replacing(path) as part:
        save_file(content, part, metadata=texts)


def read_weights(path: str | os.PathLike[str]) -> StateDict:
    """All tensors of a checkpoint in our names. Raises UserError as :func:`read_layout`."""
    return read_layout(path).state


def read_layout(path: str | os.PathLike[str]) -> Read:
    """The weights of a checkpoint in our names, and what was done to find them.

    Raises:
        UserError: if it cannot be read, or holds no ViT in a known layout.
    """
    content = read_content(path)
    try:
        state, notes = unwrap(content)
        layout = detect(state, described(content))
        pixels = pixels_beside(path)
        beside = {} if pixels is None else {"pixels": pixels}
        about = {**foreign_sizes(path, content), **beside, **read_metadata(path)}
        return Read(layout, from_layout(state, layout), tuple(notes), about)
    except UserError as error:
        raise UserError(f"{path} holds {error}") from error


def read_state(path: str | os.PathLike[str]) -> StateDict:
    """All tensors of a checkpoint under its own names, but for dicts around them.

    Raises:
        UserError: if there is no such file or it cannot be read.
    """
    content = read_content(path)
    try:
        return choose(list(state_dicts(content)))[0].state
    except (UserError, ValueError) as error:
        raise UserError(f"{path} holds no weights by name but {described(content)}") from error
