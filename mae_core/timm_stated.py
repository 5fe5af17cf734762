"""What lies beside weights of timm's architectures and says what they were trained on.

timm writes a `config.json` beside a folder's weights, with `architecture` and `pretrained_cfg`; a
safetensors file may have the same fields in its metadata; our own files have `pixels` and
`preprocessing`.
"""

import dataclasses
from pathlib import Path
from typing import Any

import timm
from timm.models import PretrainedCfg

from mae_core.errors import UserError
from mae_core.pixels import are_numbers, read_object
from mae_core.reading import IN_FOLDER, read_metadata, weights_file

FIELDS = ("input_size", "mean", "std", "interpolation", "crop_pct", "license")
# Arguments in a `config.json` that others of its fields say, or that the classifier alone has.
HARMLESS = ("img_size", "in_chans", "num_classes")


def hub_architecture(path: Path) -> str:
    """timm's architecture of a folder that timm wrote, or of a file in it; '' for any other.

    A folder of transformers has a `config.json` too, but names classes in it, and its model in
    `model_type`.
    """
    found = _beside(path).get("architecture")
    return found if isinstance(found, str) and timm.is_model(found) else ""


def with_stated(cfg: PretrainedCfg, arch: str, path: Path) -> PretrainedCfg:
    """What is known of weights, where their file or its folder says otherwise than timm's default.

    Args:
        cfg: timm's, of the architecture or of published weights of it.
        arch: the architecture.
        path: of the file, or its folder.

    Raises:
        UserError: if it says something that cannot be, or asks for another model than `arch`.
    """
    beside = _beside(path)
    stated: dict[str, Any] = {"license": None}
    if hub_architecture(path) == arch:
        extra = [key for key in _object(beside, "model_args") if key not in HARMLESS]
        if extra:
            raise UserError(
                f"{path}: its config.json builds {arch} with {', '.join(extra)}, which timm:{arch} "
                "does not have: only architectures under their own names can be encoders"
            )
        stated |= _known(_object(beside, "pretrained_cfg"))
        size = _object(beside, "model_args").get("img_size")
        if isinstance(size, int):
            stated.setdefault("input_size", [cfg.input_size[0], size, size])
    about = read_metadata(path)
    stated |= _known(about) | _ours(about)
    check_stated(stated, path)
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stated.items()}
    return dataclasses.replace(cfg, **fields)


def check_stated(stated: dict[str, Any], path: Path) -> None:
    """Raise UserError for a value that cannot be, with its key and what was expected."""
    size, crop = stated.get("input_size", [3, 1, 1]), stated.get("crop_pct", 1.0)
    mean, std = stated.get("mean", [0.5]), stated.get("std", [0.5])
    whole = isinstance(size, list) and all(isinstance(n, int) and n > 0 for n in size)
    expected = {
        "input_size": (whole and len(size) == 3, "channels, height and width above 0"),
        "mean": (are_numbers(mean), "a number for each channel"),
        "std": (are_numbers(std) and min(std) > 0, "a number above 0 for each channel"),
        "interpolation": (isinstance(stated.get("interpolation", ""), str), "a name"),
        "crop_pct": (are_numbers([crop]) and 0 < crop <= 1, "a number above 0, at most 1"),
        "license": (isinstance(stated.get("license") or "", str), "a name"),
    }
    for key, (right, text) in expected.items():
        if not right:
            raise UserError(f"{path} says {key}={stated[key]!r} of its weights: expected {text}")


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: fields[key] for key in FIELDS if fields.get(key) is not None}


def _ours(about: dict[str, Any]) -> dict[str, Any]:
    """The metadata of our files as timm's fields."""
    found: dict[str, Any] = {}
    for key in ("mean", "std"):
        values = _object(about, "pixels").get(key)
        if are_numbers(values):
            found[key] = [value / 255 for value in values]
    fields = _object(about, "encoder")
    prepared = _object(about, "preprocessing")
    size = fields.get("img_size") or prepared.get("input_size")
    if isinstance(size, list):
        found["input_size"] = [fields.get("in_chans", 3), *size]
    found |= {k: prepared[k] for k in ("interpolation", "crop_pct") if k in prepared}
    if isinstance(about.get("licence"), str):
        found["license"] = about["licence"]
    return found


def _beside(path: Path) -> dict[str, Any]:
    """The `config.json` of a folder, or beside a file with a folder's name; else nothing."""
    if not path.exists():
        return {}
    file = weights_file(path) if any((path / name).is_file() for name in IN_FOLDER) else path
    return read_object(file.with_name("config.json")) if file.name in IN_FOLDER else {}


def _object(fields: dict[str, Any], key: str) -> dict[str, Any]:
    found = fields.get(key)
    return found if isinstance(found, dict) else {}
