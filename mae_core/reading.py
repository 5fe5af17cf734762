"""Files of weights as they lie on the disk: pickles without code, safetensors, and their parts.

Nothing in a file is executed. A pickle may name torch's own types and a few that hold plain data;
of those that we do not need, nothing is kept.
"""

import argparse
import json
import os
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from mae_core.errors import UserError
from mae_core.files import zip_is_whole

VIT = "vit"  # family of the encoders in files that name none
STORED = {  # fields of an encoder of that family in our metadata
    *("img_size", "patch_size", "in_chans", "width", "depth", "heads", "mlp_ratio"),
}
INDEX = ".index.json"  # ends the name of the list of a model's parts
# What transformers writes into a folder.
IN_FOLDER = (
    "model.safetensors",
    f"model.safetensors{INDEX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX}",
)


class Inert:
    """Stands for an object of no use to us; takes what its pickle holds, and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def empty_dict(*_: Any) -> dict[Any, Any]:
    """Stands for a `defaultdict`: what is in it follows."""
    return {}


INERT = (
    "builtins.getattr",  # by which a HistoryBuffer names its own methods
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "mmengine.logging.history_buffer.HistoryBuffer",  # in the checkpoints of mmpretrain's trainings
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
)


def plain_types() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What a pickle may hold beside torch's own types: plain data, of which none runs code."""
    arrays: Any = np._core.multiarray  # type: ignore[attr-defined]
    scalar, rebuild = arrays.scalar, arrays._reconstruct
    numbers = {type(np.dtype(code)) for code in np.typecodes["All"]}
    return [
        argparse.Namespace,  # official MAE stores its args
        types.SimpleNamespace,
        (empty_dict, "collections.defaultdict"),
        *(dict, list, int, float, str),  # of which a defaultdict makes its values
        *(np.ndarray, np.dtype, scalar, rebuild, *numbers),
        (scalar, "numpy.core.multiarray.scalar"),  # as numpy 1 calls them
        (rebuild, "numpy.core.multiarray._reconstruct"),
        *((Inert, name) for name in INERT),
    ]


def read_content(path: str | os.PathLike[str]) -> Any:
    """What a checkpoint holds: any nesting of dicts and lists around tensors, numbers and text.

    Args:
        path: a file, one that lists a model's parts (`*.index.json`), or a folder of transformers.

    Raises:
        UserError: if there is no such file, it is damaged, or it holds code.
    """
    path = weights_file(path)
    if path.name.endswith(INDEX):
        return read_parts(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        with torch.serialization.safe_globals(plain_types()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises anything
        raise UserError(f"{path} cannot be read as a checkpoint: {refusal(path)}") from error
    if zipfile.is_zipfile(path) and not zip_is_whole(path):
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is damaged, its content does not fit its "
            "check sums; get it anew"
        )
    return content


def refusal(path: Path) -> str:
    """Why a pickle was not read."""
    try:
        with torch.serialization.safe_globals(plain_types()):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # no zip, or a damaged one
        names = []
    if names:
        return (
            f"it holds more than weights ({', '.join(sorted(names)[:5])}), and to read those would "
            "run code. Where it was made, save its state_dict() alone"
        )
    return "it is damaged or holds more than weights"


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file. Raises UserError if it cannot be read."""
    try:
        return load_file(path)
    except Exception as error:  # a damaged header raises anything
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is damaged ({error})"
        ) from error


def read_parts(index: Path) -> dict[str, Any]:
    """All tensors of a model that lies in several files.

    Raises:
        UserError: if the list is damaged or names a file elsewhere, or a part or tensor is missing.
    """
    parts: dict[str, dict[str, Any]] = {}
    for place in part_files(index):
        content = read_content(place)
        parts[place.name] = content if isinstance(content, dict) else {}
    state = {}
    for name, file in weight_map(index).items():
        if name not in parts[file]:
            raise UserError(f"{index.with_name(file)} lacks '{name}', which {index.name} lists")
        state[name] = parts[file][name]
    return state


def weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor, as a list of parts names them, all in its own folder."""
    try:
        files = json.loads(index.read_text())["weight_map"]
        files = dict(files.items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is no list of a model's parts: it is damaged") from error
    for file in files.values():
        plain = isinstance(file, str) and Path(file).name == file and not file.endswith(INDEX)
        if not plain or "\0" in file:
            raise UserError(f"{index} names '{file}': expected the name of a file beside it")
    if not files:
        raise UserError(f"{index} lists no weights")
    return files


def part_files(path: Path) -> list[Path]:
    """The files that a list of parts names, sorted. Raises UserError if one is missing."""
    files = sorted({path.with_name(file) for file in weight_map(path).values()})
    for file in files:
        if not file.is_file():
            raise UserError(f"{path} lists the part '{file.name}', which is not there")
    return files


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """JSON metadata of a safetensors file; empty for any other file."""
    path = weights_file(path)
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as a checkpoint: {error}") from error
    about = {key: _value_of(text) for key, text in texts.items()}
    if "encoder" in about:
        check_stored(about["encoder"], about.get("family", VIT), path)
    return about


def check_stored(encoder: Any, family: Any, path: Path) -> None:
    """Raise UserError unless metadata describe an encoder by the fields that we write.

    Those of other families than ours are the families' own, but for the images' size and channels.
    """
    fields = encoder if isinstance(encoder, dict) else {}
    wanted = STORED if family == VIT else {"img_size", "in_chans"}
    numbers = ("patch_size", "width", "depth") if family == VIT else ("in_chans",)
    whole = all(isinstance(fields.get(key), int) for key in numbers)
    known = set(fields) == wanted if family == VIT else wanted <= set(fields)
    if not isinstance(family, str) or not known or not whole or not _pair(fields["img_size"]):
        raise UserError(
            f"{path} cannot be read as a checkpoint: its metadata say no encoder by the fields "
            f"{', '.join(sorted(wanted))}"
        )


def foreign_sizes(path: str | os.PathLike[str], content: Any) -> dict[str, Any]:
    """What other projects say of a model beside its weights: `image_size` (H, W) and `heads`.

    Transformers in a `config.json`, trainings in the arguments that they were started with.
    """
    path = weights_file(path)
    found: dict[str, Any] = {}
    said = [_json(path.with_name("config.json"))] if path.name in IN_FOLDER else []
    if isinstance(content, dict):
        said += [content.get(key) for key in ("args", "hyper_parameters")]
    for one in said:
        fields = one if isinstance(one, dict) else getattr(one, "__dict__", {})
        for key in ("image_size", "input_size", "img_size"):
            if size := _pair(fields.get(key)):
                found.setdefault("image_size", size)
        heads = fields.get("num_attention_heads")
        if isinstance(heads, int) and heads > 0:
            found.setdefault("heads", heads)
    return found


def _pair(value: Any) -> tuple[int, int] | None:
    """One whole number or two as height and width; None for anything else."""
    pair = (value, value) if isinstance(value, int) else value
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return None
    if any(not isinstance(n, int) or n <= 0 for n in pair):
        return None
    return pair[0], pair[1]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None


def _value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # transformers writes format=pt
        return text


def weights_file(path: str | os.PathLike[str]) -> Path:
    """The file itself, or that in a folder of transformers. Raises UserError if there is none."""
    path = Path(path).expanduser()
    if path.is_dir():
        path = next((path / name for name in IN_FOLDER if (path / name).is_file()), path)
    if not path.is_file():
        lacks = f": the folder has none of {', '.join(IN_FOLDER)}" if path.is_dir() else ""
        raise UserError(f"no checkpoint at {path}{lacks}")
    return path
