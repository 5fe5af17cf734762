"""What makes a stage's work the same: the fingerprint of its config, encoder, data and code."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mae_core.data.sources import data_digest
from mae_core.files import digest
from pipelines.stages import NO_FILE

if TYPE_CHECKING:
    from mmengine.config import Config

DATA_KEYS = ("data", "data_root", "names_in")
LOADER_SPEED = {"num_workers", "persistent_workers", "pin_memory", "prefetch_factor"}
SOURCE = Path(__file__).resolve().parents[1]


def fingerprint(config: "Config", encoder: str) -> str:
    """Hash of everything that a stage's result depends on.

    That is the resolved config but for what only changes speed or memory, with digests in place of
    the paths of data, the encoder file's content and our own code: the same work has the same
    fingerprint on another machine.

    Raises:
        UserError: if a data folder or the encoder's file is missing.
    """
    content = {
        "config": by_content(decisive(config.to_dict())),
        "encoder": content_of(encoder),
        "code": code_version(),
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config's content without what changes only speed or memory.

    Seeded draws make batches independent of the loader's processes, and with `effective_batch` an
    update is independent of what a device handles at once.
    """
    content = dict(config)
    content.pop("sharded", None)
    loader = content.get("train_dataloader", {})
    if loader.get("sampler", {}).get("type") == "DrawSampler":
        free = {*LOADER_SPEED, "batch_size"} if content.get("effective_batch") else LOADER_SPEED
        kept = {key: value for key, value in loader.items() if key not in free}
        content["train_dataloader"] = kept
    return content


def by_content(node: Any) -> Any:
    """A part of a config with the content's digest in place of each path of data or an encoder."""
    if isinstance(node, dict):
        return {key: by_content(_content_at(key, value)) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [by_content(value) for value in node]
    return node


def content_of(encoder: str) -> str:
    """The digest of an encoder's file, or the name of one without a file."""
    return encoder if encoder in NO_FILE else digest(Path(encoder).expanduser())


def data_digests(config: "Config") -> dict[str, str]:
    """Digest of all data that the config names."""
    return {data: data_digest(data) for data in data_roots(config)}


def data_roots(config: "Config") -> list[str]:
    """The data that the config names, and the lists of what to take from it, sorted."""
    return sorted(set(_roots(config.to_dict())))


@lru_cache
def code_version() -> str:
    """Hash of the code that computes results: `mae_core` and `downstream`."""
    sha = hashlib.sha256()
    for package in ("mae_core", "downstream"):
        for path in sorted((SOURCE / package).rglob("*.py")):
            sha.update(f"{path.relative_to(SOURCE)}\0".encode() + path.read_bytes())
    return sha.hexdigest()[:16]


def _content_at(key: str, value: Any) -> Any:
    if key in DATA_KEYS and isinstance(value, str):
        return data_digest(value)
    return content_of(value) if key == "reference" and isinstance(value, str) else value


def _roots(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in DATA_KEYS and isinstance(value, str):
                yield value
            else:
                yield from _roots(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _roots(value)
