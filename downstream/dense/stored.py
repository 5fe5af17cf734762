"""The model that a file describes, built of nothing that the file alone could ask for.

Whoever hands on a model's file hands on its config, of which only the model is built. It may name
what is registered, no file, no address and no code; and before it takes memory it is built without,
to see that it fits the file's weights.
"""

import copy
import re
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.registry.root import MODELS
from torch import Tensor
from torch.nn.modules.module import register_module_module_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode

from mae_core.errors import UserError
from mae_core.untrusted import BY_NAME, check_data, own_imports, registered_names

WORD = re.compile(r"[A-Za-z0-9_+-]{0,64}")  # text in a model's config: no path, no address, no code
# A model of timm, by which nothing is fetched: a name of an architecture, perhaps of weights.
TIMM = re.compile(r"timm:[A-Za-z0-9_]{1,64}(\.[A-Za-z0-9_]{1,64})?")
LARGEST = 1_000_000  # of its numbers
PIXELS = 8192  # of an image's side, a patch's, or of what a side is rounded to
SIDES = ("size", "scale", "img_size", "crop_size", "stride", "size_divisor", "pad_size_divisor")
# Keys of what would fetch a file or a model, or evaluate text.
FETCHING = ("pretrained", "checkpoint", "ckpt", "teacher", "lang_model", "warp_mode")
UNFIT = {"Pretrained", "BertModel", "CLIPTextEncoder", "TIMMBackbone", "VPD"}  # all fetch models
ROOM = 64_000_000  # numbers that building may take beside the weights, such as anchors
COPIES = 30  # of the weights' numbers at once, with what an image of the model's size takes
PARTS = 20  # modules for each tensor in the file


class ModelFile(NamedTuple):
    """The file that a stage leaves its trained model in.

    Attributes:
        stage: the command that makes it, such as 'detect'.
        scope: mm's registry that the model is built from, such as 'mmdet'.
        name: of the file.
        size: the key of the config's `image` that says how large images become.
        classified: whether the model predicts classes, whose names the file then has.
    """

    stage: str
    scope: str
    name: str
    size: str
    classified: bool = True


def to_store(config: Config) -> dict[str, Any]:
    """A stage's config for its model's file: what it imports is for the training alone."""
    return {key: value for key, value in config.to_dict().items() if key != "custom_imports"}


def check_stored(fields: Mapping[str, Any], classes: Any, path: Path, kind: ModelFile) -> None:
    """Raise UserError for a config of which no model should be built.

    Args:
        fields: of the stage's config.
        classes: names by label, as the file has them.
        path: of the file, for messages.
        kind: what it should be.
    """
    parts = {key: fields.get(key) for key in ("model", "image")}
    whole = all(isinstance(part, dict) for part in parts.values())
    if not whole or not isinstance(parts["model"].get("backbone"), dict):  # type: ignore[union-attr]
        raise UserError(f"{path}: its config has no model with a backbone, or no image")
    if fields.get("default_scope") != kind.scope:
        raise UserError(f"{path}: its config has no default_scope={kind.scope!r}")
    own_imports(fields.get("custom_imports"), str(path))
    names = (registered_names("MODELS", "TASK_UTILS") | BY_NAME) - UNFIT
    check_data(parts, str(path), names.__contains__)
    for key, value in entries(parts):
        check_entry(key, value, path)
    side = parts["image"].get(kind.size)  # type: ignore[union-attr]
    if not side or isinstance(side, dict | str | bool):
        raise UserError(f"{path}: its config does not say how large images become")
    if kind.classified:
        check_classes(classes, parts, path)


def entries(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All parts of a config, each with the key that it is below."""
    yield key, node
    if isinstance(node, dict):
        for name, value in node.items():
            yield from entries(value, name)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from entries(value, key)


def check_entry(key: str, value: Any, path: Path) -> None:
    """Raise UserError for one part of a config that asks for a file, for code or for too much."""
    wrong = f"{path}: its config has {key}={value!r:.100}"
    if value and any(word in key for word in FETCHING):
        raise UserError(f"{wrong}: the weights are in the file, others are not fetched")
    named = key == "arch" and isinstance(value, str) and TIMM.fullmatch(value)
    if key == "_scope_" or (isinstance(value, str) and not WORD.fullmatch(value) and not named):
        raise UserError(f"{wrong}: expected a plain word")
    if isinstance(value, int | float) and not isinstance(value, bool):
        most = PIXELS if key in SIDES else LARGEST
        least = 1 if key in SIDES else -LARGEST
        if not least <= value <= most:
            raise UserError(f"{wrong}: expected {least:,} to {most:,}")


def check_classes(classes: Any, model: Mapping[str, Any], path: Path) -> None:
    """Raise UserError unless there is a name for each label that the model may give."""
    named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if not named or not classes:
        raise UserError(f"{path}: its metadata has no list 'classes' with their names")
    for key, part in entries(model):
        if key not in ("decode_head", "bbox_head", "mask_head") or not isinstance(part, dict):
            continue
        if part.get("num_classes") != len(classes):
            raise UserError(
                f"{path} names {len(classes)} classes, its {key} has "
                f"{part.get('num_classes')!r:.50}"
            )


def build_stored(config: Config, state: Mapping[str, Tensor], path: Path) -> BaseModel:
    """The model of a config that was checked, with the file's weights.

    Raises:
        UserError: if it cannot be built, would take much more memory than the weights, or these do
            not fit.
    """
    init_default_scope(config.default_scope)
    weights = sum(value.numel() for value in state.values())
    with blaming(path):
        with bounded(ROOM + COPIES * weights, 1000 + PARTS * len(state)), torch.device("meta"):
            drawn = MODELS.build(copy.deepcopy(config.model)).state_dict()
        check_weights(drawn, state, path)
        model: BaseModel = MODELS.build(config.model)
        model.load_state_dict(dict(state))
    return model


def check_weights(drawn: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    """Raise UserError unless a model's tensors have the names and shapes of the file's."""
    missing, odd = sorted(drawn.keys() - state), sorted(state.keys() - drawn)
    if missing or odd:
        raise UserError(
            f"{path}: its weights are not its config's: {len(missing)} are missing {missing[:3]}, "
            f"{len(odd)} have no place {odd[:3]}"
        )
    for key, value in state.items():
        if value.shape != drawn[key].shape:
            raise UserError(
                f"{path}: '{key}' is {tuple(value.shape)}, its config makes it "
                f"{tuple(drawn[key].shape)}"
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(f"{path}: '{key}' is not finite everywhere: the training diverged")


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Make whatever goes wrong in the block a UserError that names the model's file."""
    try:
        yield
    except UserError as error:
        told = str(error)
        raise UserError(told if str(path) in told else f"{path}: {told}") from error
    except Exception as error:  # any value may be wrong for any part of a model
        first = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{path}: no model that works comes of its config: {type(error).__name__}: {first:.300}"
        ) from error


class _Counted(TorchDispatchMode):
    """Refuses to hold more than so many numbers at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most
        self.held: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.hold(made.untyped_storage(), made.element_size())
        if self.left < 0:
            raise UserError("its config makes a model much larger than its weights")
        return made

    def hold(self, storage: torch.UntypedStorage, size: int) -> None:
        """Count a tensor's memory, in numbers of `size` bytes, for as long as it is there."""
        if storage._cdata in self.held:
            return
        numbers = storage.nbytes() // size
        self.held.add(storage._cdata)
        self.left -= numbers
        weakref.finalize(storage, self.give_back, storage._cdata, numbers)

    def give_back(self, storage: int, numbers: int) -> None:
        """Count it no more."""
        self.held.discard(storage)
        self.left += numbers


@contextmanager
def bounded(numbers: int, modules: int) -> Iterator[None]:
    """Raise UserError once the block holds so many numbers or has made so many parts of models."""
    left = modules

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise UserError("its config makes a model of many more parts than it has weights for")

    hook = register_module_module_registration_hook(count)
    try:
        with _Counted(numbers):
            yield
    finally:
        hook.remove()
