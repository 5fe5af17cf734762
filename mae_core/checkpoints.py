"""Reading and writing weights, so that nothing fails to load in silence.

Our own files are safetensors whose metadata holds the encoder's fields: a file says by itself
what it is. Foreign files are read with `weights_only=True`.
"""

import argparse
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from mae_core.encoder import ViTEncoder
from mae_core.errors import UserError
from mae_core.models import create_encoder

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class LoadReport:
    """What became of every key of a checkpoint.

    Attributes:
        loaded: keys taken over.
        missing: keys of the model that the checkpoint does not have.
        unexpected: keys of the checkpoint that the model does not have.
        resized: position tables resampled to the model's grid.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    resized: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"loaded {len(self.loaded)} keys, missing {list(self.missing)}, "
            f"unexpected {list(self.unexpected)}, resized {list(self.resized)}"
        )


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> LoadReport:
    """Load a checkpoint into an encoder or a MAE and say what became of every key.

    Raises:
        UserError: if the file cannot be read, if a tensor has another shape, or if the checkpoint
            has none of the model's keys.
    """
    state = _as_layout_of(model, read_state(path))
    own = model.state_dict()
    resized = _resize_positions(state, own)
    loaded = [key for key in own if key in state]
    if not loaded:
        raise UserError(
            f"{path} holds none of the {len(own)} weights of this model "
            f"(first keys there: {sorted(state)[:3]}, here: {sorted(own)[:3]})"
        )
    for key in loaded:
        if state[key].shape != own[key].shape:
            raise UserError(
                f"{path}: '{key}' is {tuple(state[key].shape)}, the model needs "
                f"{tuple(own[key].shape)}: use a config with the checkpoint's sizes"
            )
    model.load_state_dict({**own, **{key: state[key] for key in loaded}})
    return LoadReport(
        tuple(loaded),
        tuple(sorted(own.keys() - state.keys())),
        tuple(sorted(state.keys() - own.keys())),
        tuple(resized),
    )


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
            "mae-bench"
        )
    encoder = ViTEncoder(**{**fields, **overrides})
    report = load_weights(encoder, path)
    if report.missing:
        raise UserError(f"{path} lacks weights of its encoder: {', '.join(report.missing[:5])}")
    return encoder


def build_encoder(fields: dict[str, Any], source: str) -> ViTEncoder:
    """The encoder of a stage.

    Args:
        fields: `arch` and overrides, as in :func:`mae_core.create_encoder`.
        source: 'random' for freshly initialised weights, else the path of an encoder file, whose
            sizes must agree with `fields`.
    """
    encoder = create_encoder(**fields)
    if source == "random":
        return encoder
    stored = read_metadata(source).get("encoder")
    for key in ("patch_size", "in_chans", "width", "depth", "heads"):
        if stored is not None and stored[key] != encoder.config[key]:
            raise UserError(
                f"encoder {source} has {key}={stored[key]}, the config asks for "
                f"{key}={encoder.config[key]}: change `encoder` in the config"
            )
    report = load_weights(encoder, source)
    if report.missing:
        raise UserError(f"{source} lacks weights of the encoder: {', '.join(report.missing[:5])}")
    return encoder


def save_weights(path: str | os.PathLike[str], model: nn.Module, **metadata: Any) -> None:
    """Write a model's weights as safetensors, atomically, with JSON metadata."""
    path = Path(path)
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    temporary = path.with_name(path.name + ".part")
    save_file(state, temporary, metadata={k: json.dumps(v) for k, v in metadata.items()})
    temporary.replace(path)


def read_state(path: str | os.PathLike[str]) -> StateDict:
    """All tensors of a checkpoint. Refuses a pickle that holds code.

    Raises:
        UserError: if there is no such file or it cannot be read.
    """
    path = _existing(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # official MAE stores its args
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises anything
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is damaged or holds more than weights"
        ) from error
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no weights by name but a {type(content).__name__}")
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """JSON metadata of a safetensors file; empty for any other file."""
    path = _existing(path)
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a checkpoint: {error}") from error


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    return path


def _as_layout_of(model: nn.Module, state: StateDict) -> StateDict:
    """Rename a MAE's keys to the encoder's when the model is an encoder."""
    if isinstance(model, ViTEncoder) and any(key.startswith("encoder.") for key in state):
        return {key.removeprefix("encoder."): value for key, value in state.items()}
    return state


def _resize_positions(state: StateDict, own: StateDict) -> list[str]:
    """Resample square position tables in `state` to the lengths in `own`; the resized keys."""
    resized = []
    for key in state.keys() & own.keys():
        old, new = state[key].shape, own[key].shape
        if key.endswith("pos_embed") and old != new and old[-1] == new[-1]:
            side = int((new[1] - 1) ** 0.5)
            state[key] = resample_abs_pos_embed(state[key], [side, (new[1] - 1) // side])
            resized.append(key)
    return resized
