"""Whether the keys of a stage's config agree with each other; reads no data and builds no model."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from mmengine.config import Config

from mae_core.data.bands import channels_of
from mae_core.data.images import ImageDataset
from mae_core.data.transform import output_size
from mae_core.encoders import Encoder, create_encoder
from mae_core.errors import UserError, suggest
from mae_core.kinds import check_kinds
from mae_core.pixels import OWN, PROTOCOL, SAME_FOR_ALL

BLOCK = re.compile(r"\bencoder\.blocks\.(\d+)$")  # ends the name of one
DENSE = ("detect", "segment")  # see images of any size, in colours
LEAST = {
    "max_epochs": 1,
    "max_iters": 1,
    "val_interval": 1,
    "batch_size": 1,
    "num_workers": 0,
    "updates": 1,
    "epochs": 1,
    "effective_batch": 1,
    "report_interval": 1,
    "k": 1,
    "threads": 1,
}  # of a number under this key, wherever it stands
OTHERS = (("batch_size", "auto"),)  # see mae_core.engine.auto_batch
OF_IMAGES = tuple(inspect.signature(ImageDataset).parameters)  # keys of a set of images


def check_keys(config: Config) -> None:
    """Raise UserError, with all faults, if keys contradict each other or say to do nothing.

    Channels of encoder, images and `pixels` must be as many, images as large as the encoder takes
    them, and epochs and batches more than none.

    Args:
        config: of a stage; with a section `scratch` also what that makes of it.
    """
    check_kinds(config)
    found = [*faults(config.to_dict())]
    if "scratch" in config:
        merged = Config(config.to_dict())
        merged.merge_from_dict(config.scratch.to_dict())
        found += faults(merged.to_dict())
    if found:
        raise UserError("; ".join(dict.fromkeys(found)))


def faults(config: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong, one sentence each."""
    yield from amounts(config)
    if "encoder" not in config:
        return
    encoder = outline(config["encoder"]).config
    yield from pixel_faults(config, encoder["in_chans"])
    yield from block_faults(config, encoder)
    for key, images in image_sets(config):
        yield from image_faults(key, images, encoder)


def outline(fields: Mapping[str, Any]) -> Encoder:
    """The encoder of these fields in evaluation, without memory for weights; not to be changed.

    Raises:
        UserError: if none can be built.
    """
    try:
        return _outline(json.dumps(dict(fields)))
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"encoder={dict(fields)} cannot be built: {error}") from error


@lru_cache(64)
def _outline(fields: str) -> Encoder:
    with torch.device("meta"):
        return create_encoder(**json.loads(fields)).eval()


def amounts(node: Any, path: str = "") -> Iterator[str]:
    """Faults of the numbers in :data:`LEAST`, at any depth."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            place = f"{path}.{key}" if path else str(key)
            if key in LEAST and not is_amount(value, LEAST[key]) and (key, value) not in OTHERS:
                yield f"{place}={value!r}: expected a whole number of at least {LEAST[key]}"
            yield from amounts(value, place)
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from amounts(value, f"{path}.{number}")


def is_amount(value: Any, least: int) -> bool:
    """Whether a value is a whole number of at least `least`, or None, or a dict of its own."""
    if value is None or isinstance(value, Mapping):
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return bool(number and value >= least and float(value).is_integer())


def block_faults(config: Mapping[str, Any], encoder: Mapping[str, Any]) -> Iterator[str]:
    """Faults of `activation_checkpointing`, which may name blocks that a smaller encoder lacks."""
    found = map(BLOCK.search, config.get("activation_checkpointing") or ())
    last = max((int(block[1]) for block in found if block), default=-1)
    depth = encoder.get("depth")
    if depth is not None and last >= depth:
        yield (
            f"activation_checkpointing names block {last} of the encoder, which has blocks 0 to "
            f"{depth - 1} (encoder.depth={depth}): name those, or set activation_checkpointing=None"
        )


def pixel_faults(config: Mapping[str, Any], channels: int) -> Iterator[str]:
    """Faults of `pixels`, the mean and deviation of each channel."""
    if config.get("stage") in DENSE and channels != 3:
        yield f"encoder.in_chans={channels}: {config['stage']} reads images in colour, expected 3"
    if config.get(PROTOCOL, OWN) not in (OWN, SAME_FOR_ALL):
        yield f"{PROTOCOL}={config[PROTOCOL]!r}: expected {OWN!r} or {SAME_FOR_ALL!r}"
    if "pixels_of" in config:
        yield (
            f"pixels_of is called {PROTOCOL} now: {OWN!r} in place of 'encoder', {SAME_FOR_ALL!r} "
            "of 'config'"
        )
    for key, values in (config.get("pixels") or {}).items():
        if key not in ("mean", "std"):
            yield f"pixels has no field '{key}'{suggest(str(key), ('mean', 'std'))}"
            continue
        if not isinstance(values, Sequence) or isinstance(values, str):
            yield f"pixels.{key}={values!r}: expected a list of numbers, one for each channel"
            continue
        if len(values) != channels:
            yield (
                f"pixels.{key} has {len(values)} numbers, encoder.in_chans={channels}: expected "
                "one for each channel"
            )
        numbers = [value for value in values if isinstance(value, int | float)]
        if len(numbers) < len(values) or (key == "std" and not all(n > 0 for n in numbers)):
            above = " above 0" if key == "std" else ""
            yield f"pixels.{key}={list(values)}: expected numbers{above}"


def image_sets(node: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The places and fields of all sets of images, at any depth.

    They are `ImageDataset`'s arguments, or in `evaluate` a transform for all sets and what is other
    in that of one.
    """
    if isinstance(node, Mapping):
        common = node.get("transform")
        if ("data" in node or "sets" in node) and isinstance(common, Mapping):
            yield path, node
        for key, value in node.items():
            if key == "sets" and isinstance(common, Mapping):
                for number, entry in enumerate(value):
                    own = entry.get("transform", {})
                    bands = {"bands": entry["bands"]} if "bands" in entry else {}
                    yield f"sets.{number}", {"transform": {**common, **own}, **bands}
                continue
            yield from image_sets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from image_sets(value, f"{path}.{number}")


def image_faults(key: str, images: Mapping[str, Any], encoder: Mapping[str, Any]) -> Iterator[str]:
    """Faults of a set of images under `key` beside an encoder's sizes."""
    where = f"{key}." if key else ""
    if "data" in images:
        odd = [name for name in images if name not in OF_IMAGES]
        yield from (f"{key} has no field '{name}'{suggest(name, OF_IMAGES)}" for name in odd)
        if not isinstance(images["data"], str | None):
            yield f"{where}data={images['data']!r}: expected text, such as a folder's path"
            return
    channels, wanted = channels_of(images), encoder["in_chans"]
    if "data" in images and channels != wanted:
        said = "in_chans"
        if images.get("bands") is not None and "in_chans" not in images:
            said = f"bands={images['bands']!r}, in_chans"
        yield f"{where}{said}={channels}, encoder.in_chans={wanted}: give both the same"
    size, taken = output_size(images["transform"]), tuple(encoder["img_size"])
    if size != taken:
        yield (
            f"{where}transform.input_size={shown(size)}, encoder.img_size={shown(taken)}: "
            "give both the same"
        )


def shown(size: tuple[int, ...]) -> str:
    """A side, or height and width."""
    return str(size[0]) if len(set(size)) == 1 else str(size)
