"""Weights out of what other programs wrap around them: dicts in dicts, and prefixes of names.

A training's file may hold several copies of a model. Which is taken is decided by one rule, see
:func:`choose`, and said.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mae_core.errors import UserError
from mae_core.layouts import StateDict, count_encoder

DEPTH = 5  # dicts and prefixes around a state dict that are looked through
# Words in the name of an average of a training's weights: what its own project would evaluate.
AVERAGES = {"ema", "teacher", "average", "averaged", "swa", "shadow", "target"}
# Names of the weights themselves. The first is taken where a file has the same under several.
USUAL = ("model", "state_dict", "model_state_dict", "module", "encoder", "backbone", "student")
ANCHORS = ("cls_token", "pos_embed", "position_embeddings")  # names that any ViT here has
SHOWN = 6  # entries of a checkpoint that a message names
NAMED = 3  # weights of a model, the longest names, that are looked for below unknown prefixes
# Prefixes that are taken off a model's weights whatever comes after them.
AROUND = {
    *("module", "model", "backbone", "encoder", "net", "network", "student", "teacher", "visual"),
    *("trunk", "image_encoder", "vision_encoder", "base_encoder", "momentum_encoder", "ema"),
}
# What torch.compile, FSDP and checkpointing put into names wherever they wrap a part.
MARKERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")


@dataclass(frozen=True)
class Weights:
    """One state dict in a file.

    Attributes:
        state: the tensors, without what was around their names.
        keys: of the dicts that it was in, from the outside.
        prefix: that was before each name, '' for none.
        left_out: names beside the prefix.
    """

    state: StateDict
    keys: tuple[str, ...] = ()
    prefix: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """All names around the weights."""
        return (*self.keys, *self.prefix.split(".")[:-1])

    @property
    def is_average(self) -> bool:
        """Whether it is an average over a training, by its name."""
        words = {word for name in self.path for word in re.split(r"[\W_]+", name.lower())}
        # mmengine swaps: the average is under `state_dict`, the plain weights under this name.
        swapped = "ema_state_dict" in self.keys and "steps" in self.left_out
        return bool(words & AVERAGES) and not swapped

    @property
    def name(self) -> str:
        """Where it was, for messages."""
        return ".".join(self.path)

    def notes(self) -> list[str]:
        """What was taken off."""
        said = [f"taken from '{'.'.join(self.keys)}'"] if self.keys else []
        if self.prefix:
            said.append(f"stripped '{self.prefix}' from its names")
        if self.left_out:
            shown = ", ".join(self.left_out[:3]) + (", ..." if len(self.left_out) > 3 else "")
            said.append(f"left out {len(self.left_out)} beside that ({shown})")
        return said


def unwrap(content: Any) -> tuple[StateDict, list[str]]:
    """The ViT's tensors in a checkpoint's content by their names, and what was done to find them.

    Raises:
        UserError: if there are no tensors, or several encoders with nothing to choose by.
    """
    found = [one for state in state_dicts(content) for one in without_prefixes(state)]
    if not found:
        raise UserError(f"no weights by name but {described(content)}")
    best, others = choose(found)
    return best.state, [*best.notes(), *passed_over(best, others)]


def unwrap_model(
    content: Any, wanted: Collection[str], usual: Callable[[StateDict], StateDict]
) -> tuple[StateDict, list[str]]:
    """As :func:`unwrap`, for a model that has the weights `wanted`.

    Args:
        content: of a checkpoint.
        wanted: names of the model's weights.
        usual: weights by another project's names -> by the model's.

    Returns:
        Weights by the model's names, as `usual` gives them, and what was done to find them.

    Raises:
        UserError: as :func:`unwrap`.
    """
    found = []
    for state in state_dicts(content):
        prefixes = {**prefixes_of(state.state, wanted), **words_around(state.state)}
        found += [state, *(below(state, prefix) for prefix in prefixes)]
    if not found:
        raise UserError(f"no weights by name but {described(content)}")
    states = {id(one.state): usual(dict(one.state)) for one in found}
    names = set(wanted)
    best, others = choose(found, lambda state: len(names & states[id(state)].keys()))
    return states[id(best.state)], [*best.notes(), *passed_over(best, others)]


def words_around(state: StateDict) -> dict[str, None]:
    """Prefixes in a state dict that consist of :data:`AROUND`, in order."""
    found: dict[str, None] = {}
    for key in state:
        parts = key.split(".")[:DEPTH]
        for n, part in enumerate(parts[:-1]):
            if part not in AROUND:
                break
            found[".".join(parts[: n + 1]) + "."] = None
    return found


def prefixes_of(state: StateDict, wanted: Collection[str]) -> dict[str, None]:
    """Prefixes in a state dict before the longest of the names that are wanted, in order."""
    longest = sorted(wanted, key=len)[-NAMED:]
    ends = tuple(f".{name}" for name in longest)
    found: dict[str, None] = {}
    for key in state:
        for end in ends:
            if key.endswith(end):
                found[key.removesuffix(end) + "."] = None
    return found


def passed_over(best: Weights, others: list[Weights]) -> list[str]:
    """What is said of weights that could as well have been taken."""
    if not others:
        return []
    reason = ", as averages come first" if best.is_average else ""
    return [f"not from {', '.join(repr(o.name) for o in others)}{reason}"]


def choose(
    found: list[Weights], count: Callable[[StateDict], int] = count_encoder
) -> tuple[Weights, list[Weights]]:
    """The one to take, and those that hold as much of an encoder under other names.

    That with most of an encoder's weights; of equals an average (`ema`, `teacher`, ...) before
    others, as its own project would evaluate that; then that with the fewest names around; then the
    first in :data:`USUAL`.

    Args:
        found: at least one.
        count: how many of an encoder's weights a state dict has.

    Raises:
        UserError: if two are equal in all that.
    """
    counts = [count(one.state) for one in found]
    most = max(counts)
    equals = [one for one, count in zip(found, counts, strict=True) if count == most]
    equals.sort(key=_rank)
    best = equals[0]
    if not most:
        return best, []
    others = [one for one in equals[1:] if not _same(one, best)]
    if others and _rank(others[0]) == _rank(best):
        names = ", ".join(f"'{one.name}'" for one in (best, *others))
        raise UserError(f"several encoders ({names}): save the one that is meant alone")
    return best, others


def _rank(one: Weights) -> tuple[bool, int, int]:
    last = one.path[-1] if one.path else ""
    usual = USUAL.index(last) if last in USUAL else len(USUAL)
    return not one.is_average, len(one.path), usual


def _same(one: Weights, other: Weights) -> bool:
    """Whether two are the same tensors, of which one has more names around."""
    values = {id(value) for value in other.state.values()}
    return any(id(value) in values for value in one.state.values())


def state_dicts(content: Any, keys: tuple[str, ...] = ()) -> Iterator[Weights]:
    """All dicts of tensors in a content; numpy's arrays become tensors."""
    if not isinstance(content, Mapping) or len(keys) > DEPTH:
        return
    tensors = {key: as_tensor(v) for key, v in content.items() if isinstance(key, str)}
    state = {key: value for key, value in tensors.items() if value is not None}
    if state:
        yield Weights(without_markers(state), keys)
    for key, value in content.items():
        if isinstance(key, str):
            yield from state_dicts(value, (*keys, key))


def as_tensor(value: Any) -> Tensor | None:
    """A tensor, or an array of numbers as one; None for anything else."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="))))
    return None


def without_markers(state: StateDict) -> StateDict:
    """Names without :data:`MARKERS`, unless two would become the same."""
    clean = {_unmarked(key): value for key, value in state.items()}
    return clean if len(clean) == len(state) else state


def _unmarked(key: str) -> str:
    for marker in MARKERS:
        key = key.replace(marker, "")
    return key


def without_prefixes(whole: Weights) -> Iterator[Weights]:
    """A state dict as it is, and what is below each prefix of a ViT's class token or positions."""
    yield whole
    prefixes: dict[str, None] = {}
    for key in whole.state:
        if key.endswith(ANCHORS):
            parts = key.split(".")[:-1][:DEPTH]
            prefixes |= {".".join(parts[: n + 1]) + ".": None for n in range(len(parts))}
    for prefix in prefixes:
        yield below(whole, prefix)


def below(whole: Weights, prefix: str) -> Weights:
    """The part of a state dict whose names begin with a prefix, without it."""
    inside, beside = {}, []
    for key, value in whole.state.items():
        if key.startswith(prefix):
            inside[key.removeprefix(prefix)] = value
        else:
            beside.append(key)
    return Weights(inside, whole.keys, prefix, tuple(beside))


def described(content: Any) -> str:
    """What a checkpoint holds, in a few words: 'epoch (int), net (dict of 3)'."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    if not content:
        return "an empty dict"
    shown = [f"{str(key)[:60]} ({_kind(value)})" for key, value in list(content.items())[:SHOWN]]
    return ", ".join(shown) + (f" and {len(content) - SHOWN} more" if len(content) > SHOWN else "")


def _kind(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} of {tuple(value.shape)}"
    if isinstance(value, Mapping):
        inside = ", ".join(str(key)[:40] for key in list(value)[:3])
        return f"dict of {len(value)}" + (f": {inside}" if inside else "")
    return type(value).__name__
