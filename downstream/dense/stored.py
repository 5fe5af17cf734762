"""The model that a file describes, built of nothing that the file alone could ask for.

Whoever hands on a model's file hands on its config, of which only the model is built. It may name
what is registered, no file, no address and no code; and before it takes memory it is built without,
to see that it fits the file's weights.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.registry.root import MODELS
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode

from mae_core.errors import UserError
from mae_core.untrusted import BY_NAME, check_data, own_imports, registered_names

SCOPES = {"detect": "mmdet", "segment": "mmseg"}
WORD = re.compile(r"[A-Za-z0-9_+-]{0,64}")  # text in a model's config: no path, no address, no code
LARGEST = 1_000_000  # of its numbers, and of the values in it
PIXELS = 8192  # of an image's side
SIZES = ("size", "scale", "img_size", "input_size", "crop_size")  # keys with sides of images
DIVISORS = ("size_divisor", "pad_size_divisor", "patch_size", "window", "relative_grid")
# Parts that fetch weights, or run text, as they are built or used.
FETCHING = ("pretrained", "checkpoint", "ckpt", "teacher", "lang_model", "warp_mode")
UNFIT = ("Pretrained", "BertModel", "TIMMBackbone", "VPD", "CameraMotionCompensation")
ROOM = 64_000_000  # values that building may take beside the weights, such as anchors
COPIES = 30  # of the weights that building may go through: made, initialised, made again
PARTS = 20  # modules for each tensor in the file


def check_stored(fields: Mapping[str, Any], path: Path, stage: str) -> None:
    """Raise UserError for a config of which no model should be built.

    Args:
        fields: of the stage's config.
        path: of the file that it is from.
        stage: that left it.
    """
    model, image = fields.get("model"), fields.get("image")
    named = isinstance(model, dict) and isinstance(model.get("backbone"), dict)
    if not named or not isinstance(image, dict) or fields.get("default_scope") != SCOPES[stage]:
        raise UserError(
            f"{path}: its config has no model with a backbone, no image, or not "
            f"default_scope={SCOPES[stage]!r}: it is no file of mae-bench {stage}, or damaged"
        )
    own_imports(fields.get("custom_imports"), str(path))
    names = (registered_names("MODELS", "TASK_UTILS") | BY_NAME) - set(UNFIT)
    check_data({"model": model, "image": image}, str(path), names.__contains__)
    for key, value in entries({"model": model, "image": image}):
        check_plain(key, value, path)
    for key in ("size",) if stage == "detect" else ("scale",):
        if not image.get(key):
            raise UserError(f"{path}: its config has no image.{key}")


def entries(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every text and number with the key that it is below."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from entries(value, name)
            if value:
                yield name, bool(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from entries(value, key)
    else:
        yield key, node
