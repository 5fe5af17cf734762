"""Reading and writing weights, so that nothing fails to load in silence.

Our own files are safetensors whose metadata holds the encoder's family and fields: a file says by
itself what it is; one without a family holds a ViT. Foreign files are read with
`weights_only=True`, in any of the known layouts.
"""

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mae_core.encoders.base import Encoder
from mae_core.encoders.registry import create_encoder, restore_encoder
from mae_core.errors import UserError
from mae_core.files import replacing
from mae_core.layouts import StateDict, detect, from_layout
from mae_core.names import has_file, own_arch
from mae_core.pixels import pixels_beside, stated_pixels
from mae_core.reading import VIT, foreign_sizes, read_content, read_metadata
from mae_core.unwrap import choose, described, state_dicts, unwrap

log = logging.getLogger(__name__)

NOT_ENCODER = (  # begin keys that an encoder may leave out
    *("decoder.", "head.", "fc_norm."),
    "vit.pooler.",  # transformers' layer on the class token, for tasks on text
    "vit.embeddings.mask_token",
)
ENCODER_ONLY = "encoder only"  # in the metadata: the file's keys are the encoder's own


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
    """Load a checkpoint of any known layout into an encoder, or a model with one as `encoder`.

    The report says what became of each key.

    Of a ViT positions are resampled to the model's grid, RGB weights adapted to its channels, and
    with `resample_patches` the embedding to its patches (all are in the report's `resized`); of
    other families what :meth:`Encoder.fit` does.

    Raises:
        UserError: if the file cannot be read, if a tensor has another shape, or if the checkpoint
            has none of the model's keys.
    """
    encoder: Any = model if isinstance(model, Encoder) else model.encoder
    prefix = "encoder." if encoder is model else ""
    own = {f"{prefix}{key}": value for key, value in model.state_dict().items()}
    _, state, notes, about = read_layout(path)
    loaded = [key for key in own if key in state]
    if not loaded:
        raise UserError(
            f"{path} holds none of the {len(own)} weights of this model "
            f"(first keys there: {sorted(state)[:3]}, here: {sorted(own)[:3]})"
        )
    try:
        resized = encoder.fit(state, about, resample_patches)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    for key in loaded:
        if state[key].shape != own[key].shape:
            raise UserError(
                f"{path}: '{key}' is {tuple(state[key].shape)}, the model needs "
                f"{tuple(own[key].shape)}: use a config with the checkpoint's sizes"
            )
        if own[key].is_floating_point() or state[key].dtype != own[key].dtype:  # else a counter
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


def load_encoder(path: str | os.PathLike[str], **overrides: Any) -> Encoder:
    """The encoder stored at `path`, built from the family and fields in the file.

    Args:
        path: an encoder written by :func:`save_encoder`.
        overrides: fields that may differ, such as `img_size` (positions are resampled).

    Raises:
        UserError: if the file is not ours, is damaged, is of an unknown family, or lacks a weight.
    """
    about = read_metadata(path)
    if "encoder" not in about:
        raise UserError(
            f"{path} does not say what encoder it holds: expected a .safetensors file written by "
            "mae-bench (mae-bench convert --to native makes one)"
        )
    try:
        encoder = restore_encoder(about, **overrides)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    load_whole(encoder, path)
    return encoder


def build_encoder(fields: dict[str, Any], source: str) -> Encoder:
    """The encoder of a stage.

    Args:
        fields: `arch` and overrides, as in :func:`mae_core.create_encoder`.
        source: a name without a file for freshly initialised weights, such as 'random', else the
            path of a checkpoint in any known layout, whose sizes must agree with `fields`.
    """
    check_sizes(fields, source)
    encoder = create_encoder(**fields)
    if not has_file(source):
        return encoder
    log.info("%s: %s", source, load_whole(encoder, source))
    return encoder


def check_sizes(fields: dict[str, Any], source: str, resample_patches: bool = False) -> None:
    """Raise UserError unless `fields` make an encoder, of the family and sizes of a file of ours.

    Also if what a file says of its pixels is not to be used, or it is a classifier of ours whose
    norm is not its encoder's.

    Args:
        fields: as in :func:`mae_core.create_encoder`.
        source: a name without a file, or the path of a checkpoint; other layouts than ours name no
            sizes.
        resample_patches: whether the patch may have another size.
    """
    with torch.device("meta"):
        wanted = create_encoder(**fields)
    if not has_file(source):
        if own_arch(source) not in ("", fields["arch"]):
            raise UserError(
                f"the encoder '{source}' is no {fields['arch']}, for which the config asks: take "
                "the config that mae_core.for_encoder.with_encoder gives for it"
            )
        return
    stated_pixels(source)
    about = read_metadata(source)
    if about.get("pool") == "avg" and not about.get("norm_first"):
        raise UserError(
            f"{source} is a classifier that norms after pooling (fc_norm), for which an encoder "
            "has no place: take the encoder that it was made from, or one of mae-bench supervise"
        )
    family = about.get("family", VIT)
    if family != wanted.family:
        raise UserError(
            f"encoder {source} is of the family '{family}', the config's {fields['arch']} of "
            f"'{wanted.family}': change `encoder` in the config"
        )
    stored = about.get("encoder")
    for key, value in wanted.bound(resample_patches).items():
        if stored is not None and stored.get(key) != value:
            raise UserError(
                f"encoder {source} has {key}={stored.get(key)}, the config asks for "
                f"{key}={value}: change `encoder` in the config"
            )


def load_whole(
    encoder: Encoder, path: str | os.PathLike[str], resample_patches: bool = False
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
            "Without them its features would be others; another architecture of timm's with these "
            "weights is timm:<model>@<file>"
        )
    return report


def save_encoder(path: str | os.PathLike[str], encoder: Encoder, **metadata: Any) -> None:
    """Write an encoder alone, under its own names, so that :func:`load_encoder` builds it again."""
    about = {**encoder.metadata(), "holds": ENCODER_ONLY}
    save_state(path, encoder.state_dict(), **about, **metadata)


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
        UserError: if it cannot be read, or holds neither a ViT in a known layout nor an encoder of
            another family in a file of ours.
    """
    content, stated = read_content(path), read_metadata(path)
    if stated.get("family", VIT) != VIT:
        prefix = "encoder." if stated.get("holds") == ENCODER_ONLY else ""
        state = {f"{prefix}{key}": content[key] for key in content}
        return Read("native", state, stated_notes(stated), stated)
    try:
        state, notes = unwrap(content)
        layout = detect(state, described(content))
        pixels = pixels_beside(path)
        beside = {} if pixels is None else {"pixels": pixels}
        about = {**foreign_sizes(path, content), **beside, **stated}
        notes += stated_notes(stated)
        return Read(layout, from_layout(state, layout), tuple(notes), about)
    except UserError as error:
        raise UserError(f"{path} holds {error}") from error


def stated_notes(about: dict[str, Any]) -> tuple[str, ...]:
    """What was done to others' weights when our file was made of them, by its metadata."""
    notes = about.get("notes")
    return tuple(map(str, notes)) if isinstance(notes, list) else ()


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
