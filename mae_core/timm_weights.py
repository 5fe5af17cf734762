"""Weights of timm's architectures from files: every key is accounted for, or nothing is loaded."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn

from mae_core.checkpoints import check_values
from mae_core.encoders.base import Encoder
from mae_core.encoders.timm_zoo import TimmEncoder
from mae_core.errors import UserError
from mae_core.layouts import StateDict
from mae_core.plain_vit import to_plain_vit
from mae_core.timm_models import check_model
from mae_core.unwrap import described, unwrap_model

FILTERS = ("checkpoint_filter_fn", "_filter_fn")  # timm's names for what renames other layouts
COUNTER = "num_batches_tracked"  # of a batch norm; nothing that is used depends on it
SHOWN = 4  # keys of a kind that a message names
# What weights of a kind do not have, by the end of their name: a norm that only labels train.
ABSENT = {".fcmae": ("head.norm.",)}


def timm_encoder(
    name: str, content: Any, cfg: PretrainedCfg, where: str
) -> tuple[Encoder, list[str]]:
    """The encoder that a checkpoint's content makes of a model of timm, and what was done to it.

    Wrappers and prefixes are taken off (:mod:`mae_core.unwrap`), other projects' names turned into
    timm's as timm does it, positions resampled to the model's grid, and a classifier left out.

    Args:
        name: of the model, with or without a tag.
        content: see :func:`mae_core.reading.read_content`.
        cfg: what is known of the weights; of it the images' size and channels are used.
        where: the content is from, for messages.

    Returns:
        A ViT of ours where the model is a plain one, else of the family 'timm'.

    Raises:
        UserError: if a weight is missing, has no place, another shape or no finite values, with
            the keys. Nothing is loaded then.
    """
    arch, channels = check_model(name), cfg.input_size[0]
    size = cfg.input_size[-2:]
    encoder = TimmEncoder(arch, img_size=size, in_chans=channels)
    try:
        state, notes = found_weights(encoder.model, arch, content)
        stored = stored_channels(encoder.model, cfg, state)
        if stored not in (None, channels):
            encoder = TimmEncoder(arch, img_size=size, in_chans=stored)
            state, notes = found_weights(encoder.model, arch, content)
            notes.append(f"its images have {stored} channels, not {channels}")
        notes += load_all(encoder.model, name, state, cfg)
    except UserError as error:
        raise UserError(f"{where} does not fit timm's {name}: {error}") from error
    return to_plain_vit(encoder.model) or encoder, notes


def found_weights(model: nn.Module, arch: str, content: Any) -> tuple[StateDict, list[str]]:
    """The model's weights in a content by its own names, and what was done to find them."""
    own = model.state_dict()
    rename = renaming(arch)
    resampled: dict[int, list[str]] = {}

    def usual(state: StateDict) -> StateDict:
        if rename is None:
            return state
        try:
            new = only_tensors(rename(dict(state), model))
        except Exception:  # timm's code takes layouts that it knows, and fails on others anyhow
            return state
        resampled[id(new)] = [k for k in new if k in state and new[k].shape != state[k].shape]
        return new

    state, notes = unwrap_model(content, own, usual)
    if not any(key in state for key in own):
        raise UserError(
            f"it holds none of the {len(own)} weights (first there: {_listed(sorted(state))}; "
            f"expected: {_listed(sorted(own))}; in all it is {described(content)})"
        )
    if changed := resampled.get(id(state)):
        notes.append(f"resampled {_listed(changed)}")
    return state, notes


def renaming(arch: str) -> Callable[[StateDict, nn.Module], Any] | None:
    """What timm does to other projects' weights of an architecture; None if nothing."""
    module = importlib.import_module(timm.model_entrypoint(arch).__module__)
    found = next((getattr(module, name) for name in FILTERS if hasattr(module, name)), None)
    if found is None:
        return None
    takes = inspect.signature(found).parameters
    if "model" not in takes:
        return lambda state, _: found(state)
    if "adapt_layer_scale" in takes and module.__name__.endswith(".deit"):
        return lambda state, model: found(state, model, adapt_layer_scale=True)
    return lambda state, model: found(state, model)


def only_tensors(state: Any) -> StateDict:
    """What of a dict are tensors by name."""
    return {k: v for k, v in state.items() if isinstance(k, str) and isinstance(v, Tensor)}


def stored_channels(model: nn.Module, cfg: PretrainedCfg, state: StateDict) -> int | None:
    """The channels of the images that weights take; None if their first layer does not tell."""
    first = cfg.first_conv if isinstance(cfg.first_conv, str) else (cfg.first_conv or ("",))[0]
    weight = state.get(f"{first}.weight")
    own = model.state_dict().get(f"{first}.weight")
    if weight is None or own is None or weight.ndim != 4 or own.ndim != 4:
        return None
    groups = cfg.input_size[0] // own.shape[1]  # 1 but where each channel has filters of its own
    return int(weight.shape[1]) if groups == 1 else None


@torch.no_grad()
def load_all(model: nn.Module, name: str, state: StateDict, cfg: PretrainedCfg) -> list[str]:
    """Load every weight of a model, or raise UserError with the keys; what was left out and why."""
    own = model.state_dict()
    heads = cfg.classifier if isinstance(cfg.classifier, tuple | list) else (cfg.classifier,)
    begins = tuple(f"{head}." for head in heads if head)
    absent = next((keys for end, keys in ABSENT.items() if name.endswith(end)), ())
    missing = [key for key in own if key not in state and not key.endswith(COUNTER)]
    borne = [key for key in missing if key.startswith(tuple(absent))]
    missing = [key for key in missing if key not in borne]
    odd = [key for key in state if key not in own and not key.endswith(COUNTER)]
    left = [key for key in odd if key.startswith(begins)]
    odd = [key for key in odd if key not in left]
    others = [key for key in own if key in state and state[key].shape != own[key].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of its {len(own)} weights are missing ({_listed(missing)})")
    if odd:
        faults.append(f"{len(odd)} in the file have no place ({_listed(odd)})")
    if others:
        shown = [f"{k}: {tuple(state[k].shape)} for {tuple(own[k].shape)}" for k in others]
        faults.append(f"{len(others)} have another shape ({_listed(shown)})")
    if faults:
        raise UserError(f"{'; '.join(faults)}. Nothing was loaded: name the model that it is of")
    for key, value in own.items():
        if key in state and value.is_floating_point():
            check_values(state[key], f"'{key}'")
    model.load_state_dict({key: state.get(key, value) for key, value in own.items()})
    notes = [f"left out {len(left)} of its classifier ({_listed(left)})"] if left else []
    if borne:
        notes.append(f"without {_listed(borne)}, which such weights do not have")
    return notes


def _listed(keys: list[str]) -> str:
    shown = ", ".join(keys[:SHOWN])
    return (shown + (", ..." if len(keys) > SHOWN else "")) or "none"
