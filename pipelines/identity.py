"""What makes a stage's work the same: the fingerprint of its config, encoder, data and code."""

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mae_core.data.roots import path_digest
from mae_core.data.sources import data_digest, table_files
from mae_core.data.sources.columns import Columns
from mae_core.errors import UserError
from mae_core.files import digest
from mae_core.names import has_file
from mae_core.registry import ENCODER_POINTS, METHOD_POINTS
from mae_core.source_code import PACKAGES, all_modules, code_digest
from mae_core.stage import LEFT_OUT, THREADS
from pipelines.stages import stages

if TYPE_CHECKING:
    from mmengine.config import Config

    from mae_core.data.roots import Listing

DATA_KEYS = ("data", "data_root", "names_in")
ROOT = "root"  # key beside `data`: where a table's images lie, whose content counts
WITH = " with "  # in a data set's name, between its path and what it means
REFERENCE = "reference"  # key of an encoder to compare with
BATCH = "batch"  # in what a stage reads: images that a device looks at together
NO_SEED = "is drawn anew with the same protocol"
# What of a config does not matter, to what, and why: the one list. Keys are from the top of a
# config, with dots; those of a loader are meant in each loader.
LOADER = {  # to no result, as batches follow from seeded draws
    "num_workers": "how many processes load",
    "persistent_workers": "whether they stay",
    "pin_memory": "how a batch gets to the GPU",
    "prefetch_factor": "how many batches wait",
}
NO_RESULT = {
    "devices": "counts where it changes the update, see machine_of",
    "threads": "counts as what it is with the stage's default, see machine_of",
    "sharded": "says where weights lie, not what they are",
    "preview": "is drawn beside the training",
    "report_interval": "says how often a loss is told",
    "log_level": "says what is told",
    "visualizer": "says where to",
    "default_hooks.logger": "says how often",
    "default_hooks.runtime_info.interval": "says how often",
    "default_hooks.checkpoint.minutes": "says how often a training is kept",
    "default_hooks.checkpoint.keep": "says how much of it",
}
NO_PROTOCOL = {  # to no protocol: what may differ between results that are compared
    "encoder": "is what is compared",
    "reference": "is an encoder beside it",
    "seed": NO_SEED,
    "metrics": "say what is measured beside top-1",
    "default_hooks": "say what is kept of a training, and when",
    "env_cfg": "says how processes start",
    "default_scope": "says where names are looked up",
}
NO_CASES = {  # to the cases of a test, in the part of a config that names its data
    **LOADER,
    "batch_size": "says how many are looked at together",
    "collate_fn": "says how",
    "sampler": "says in which order",
    "train_data": "is what it was trained on",
    "transform": "is how the model sees a case",
    **dict.fromkeys(
        ("bands", "clip", "log1p", "fill", "in_chans", "bits"), "is what of a case's pixels it sees"
    ),
}
NO_PUBLISHED = {
    **LOADER,
    "seed": NO_SEED,
    "metrics": NO_PROTOCOL["metrics"],
}  # to what a published figure stands beside


class Read(NamedTuple):
    """A path in a config.

    Attributes:
        place, key, value: where it stands, such as 'train_data.data', its last part, and the path.
        columns, root: of a table of images, see :func:`mae_core.data.sources.open_source`.
    """

    place: str
    key: str
    value: str
    columns: Columns | None = None
    root: str | None = None

    @property
    def name(self) -> str:
        """The path, and of a table what leads to other images: with two roots it is two sets."""
        column = (self.columns or {}).get("path")
        more = [f"{key}={value}" for key, value in ((ROOT, self.root), ("path", column)) if value]
        return f"{self.value}{WITH}{', '.join(more)}" if more else self.value

    def digest(self) -> str:
        """Of the data there."""
        return data_digest(self.value, self.columns, self.root)


def fingerprint(config: "Config", encoder: str) -> str:
    """Hash of everything that a stage's result depends on.

    That is the resolved config but for what changes no result, with digests in place of the paths
    of data, the encoder file's content and the code of the stage: the same work has the same
    fingerprint on another machine.

    Raises:
        UserError: if a data folder or the encoder's file is missing.
    """
    return fingerprint_of(config, inputs(config, encoder))


def fingerprint_of(config: "Config", digests: Mapping[str, str]) -> str:
    """As :func:`fingerprint`, from what :func:`inputs` has found."""
    content = {
        "config": without_roots(_by_content(result_config(config.to_dict()), digests)),
        "machine": machine_of(config),
        "encoder": digests["encoder"],
        "code": digests["code"],
    }
    if BATCH in digests:
        content[BATCH] = digests[BATCH]
    return short_hash(content)


def inputs(config: "Config", encoder: str) -> dict[str, str]:
    """What of a fingerprint may change while the stage runs: digests of all that it reads.

    Those of 'code' and 'encoder', those of data by their place in the config, such as
    'train_data.data', and 'batch' where that counts although an update is the same without it.

    Raises:
        UserError: as :func:`fingerprint`.
    """
    found = {"code": code_of(config), "encoder": content_of(encoder)}
    for read in read_by(result_config(config.to_dict())):
        found[read.place] = content_of(read.value) if read.key == REFERENCE else read.digest()
    if fixed_update(config.to_dict()) and trains_on_batches(config, encoder):
        images, devices = config.train_dataloader.batch_size, config.get("devices", 1)
        found[BATCH] = f"{images} images on each of {devices} device(s)"
    return found


def trains_on_batches(config: "Config", encoder: str) -> bool:
    """Whether what an encoder makes of an image in training depends on those beside it."""
    from downstream.scratch import recipe_for, weights_of
    from mae_core.agreement import outline  # torch
    from mae_core.encoders.base import sees_batches
    from mae_core.for_encoder import with_encoder

    if "encoder" not in config:
        return False
    try:
        own = with_encoder(recipe_for(config, encoder), weights_of(encoder))
        return sees_batches(outline(own.encoder.to_dict()))
    except UserError:  # the stage's check says so
        return False


def paths_read(config: "Config", encoder: str) -> dict[str, str]:
    """The files and folders behind :func:`inputs`, by the same names; none for 'code'."""
    data: dict[str, str] = {}
    files = {"encoder": encoder}
    for read in read_by(result_config(config.to_dict())):
        (files if read.key == REFERENCE else data)[read.place] = read.value
    # Relative paths of data may be below another folder than the current one.
    files = {k: str(Path(path).absolute()) for k, path in files.items() if has_file(path)}
    return {**files, **data}


def listings_read(config: "Config") -> list["Listing"]:
    """The files that tables among :func:`paths_read` name."""
    found = []
    for read in read_by(result_config(config.to_dict())):
        if read.key == "data":
            found.append(table_files(read.value, read.columns, read.root))
    return [files for files in found if files is not None]


def settings(config: "Config") -> str:
    """Hash of a config alone, wherever its data lies and whatever that holds."""
    content = result_config(config.to_dict())
    places = [read.place for read in read_by(content)]
    return short_hash([_without_data(without_roots(content)), places, machine_of(config)])


def short_hash(content: Any) -> str:
    """16 hexadecimal digits for what JSON can say."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def look_again() -> None:
    """Forget what this process knows of the content of data and code: it may have changed."""
    path_digest.cache_clear()
    code_version.cache_clear()


def result_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config's content without what changes no result: speed, memory, and what is shown.

    Seeded draws make batches independent of the loader's processes. What of a machine may count is
    left out too, see :func:`machine_of`.
    """
    content = dict(config)
    if (content.get("stage"), content.get("method")) == ("pretrain", "mae"):
        del content["method"]  # without the key it is the same
    for key in ("layer", "held_out"):
        if content.get(key, "") is None:
            del content[key]  # so it is here
    if content.get("stage") == "pretrain":
        content.pop("start", None)  # counts as the encoder that it leads to
    for key, usual in LEFT_OUT.get(content.get("stage", ""), {}).items():
        if (content.get(key) or usual) == usual:
            content.pop(key, None)  # so it is without the key
    if content.get("protocol") == "own":
        del content["protocol"]  # so it is here
    for key in NO_RESULT:
        content = _dropped(content, key.split("."))
    hook = content.get("default_hooks", {}).get("checkpoint", {})
    if not hook.get("best"):  # one that keeps the best looks for it whenever it writes
        content = _dropped(content, ["default_hooks", "checkpoint", "interval"])
    loader = content.get("train_dataloader", {})
    if loader.get("sampler", {}).get("type") == "DrawSampler":
        free = {*LOADER, "batch_size"} if fixed_update(content) else LOADER
        kept = {key: value for key, value in loader.items() if key not in free}
        content["train_dataloader"] = kept
    return content


def protocol_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config's content without what does not matter to a protocol, nor to a result."""
    kept = {key: value for key, value in result_config(config).items() if key not in NO_PROTOCOL}
    return dict(without_roots(without(kept, LOADER)))


def without_roots(node: Any) -> Any:
    """A part of a config without the folders of tables' images, at any depth."""
    if isinstance(node, dict):
        known = {k: v for k, v in node.items() if k != ROOT or "data" not in node}
        return {key: without_roots(value) for key, value in known.items()}
    return [without_roots(v) for v in node] if isinstance(node, list | tuple) else node


def without(node: Any, keys: Container[str]) -> Any:
    """A part of a config without `keys`, at any depth."""
    if isinstance(node, dict):
        return {key: without(value, keys) for key, value in node.items() if key not in keys}
    return [without(v, keys) for v in node] if isinstance(node, list | tuple) else node


def fixed_update(config: Mapping[str, Any]) -> bool:
    """Whether an update is the same however its images are spread over steps and devices.

    It has `effective_batch` images, all that is drawn for one follows from its seed, and the model
    looks at each image alone, as far as the stage is concerned; for encoders that do not see
    :func:`trains_on_batches`.
    """
    loader, scratch = config.get("train_dataloader", {}), config.get("scratch") or {}
    whole = loader.get("drop_last") and loader.get("sampler", {}).get("type") == "DrawSampler"
    images = config.get("effective_batch") and scratch.get("effective_batch", True)
    card = stages().get(str(config.get("stage")))
    return bool(whole and images) and not (card and card.whole_batch)


def machine_of(config: Mapping[str, Any]) -> dict[str, int]:
    """What of a machine decides a result.

    `threads` that a process computes with, as sums of floats depend on their order; and `devices`
    that share a training, unless the update is the same for any number of them.
    """
    devices = 1 if fixed_update(config) else config.get("devices", 1)
    return {"devices": devices, "threads": config.get("threads", THREADS)}


def content_of(encoder: str) -> str:
    """The digest of an encoder's file and of pixels told beside it, or the name of one without."""
    if not has_file(encoder):
        return encoder
    from mae_core.pixels import pixels_beside  # torch

    path = Path(encoder).expanduser()
    found, pixels = digest(path), pixels_beside(path)
    return found if pixels is None else short_hash([found, pixels])


def data_digests(config: "Config") -> dict[str, str]:
    """Digest of all data that the config names."""
    reads = [read for read in read_by(config.to_dict()) if read.key in DATA_KEYS]
    return {read.name: read.digest() for read in sorted(reads, key=lambda read: read.name)}


def data_roots(config: "Config") -> list[str]:
    """The data that the config names, and the lists of what to take from it, sorted."""
    return sorted({r.value for r in read_by(config.to_dict()) if r.key in DATA_KEYS})


def code_of(config: "Config") -> str:
    """Hash of the code that computes a stage: its module, those that the config names, and all of
    ours that these import. Without a known stage, of everything.
    """
    content = config.to_dict()
    stage = content.get("stage")
    modules = {stages()[stage].module} if stage in stages() else set(all_modules())
    imports = content.get("custom_imports", {}).get("imports", [])
    modules |= {imports} if isinstance(imports, str) else set(imports)
    modules |= {text for text in _texts(content) if text.partition(".")[0] in PACKAGES}
    if any(entry_points(group=group) for group in (ENCODER_POINTS, METHOD_POINTS)):
        modules |= _of_packages(content)
    return code_version(tuple(sorted(modules)))


def _of_packages(content: Mapping[str, Any]) -> set[str]:
    """Modules of installed packages that have the encoder or the method which a config names."""
    from mae_core.encoders.registry import encoder_class  # torch
    from mae_core.methods.registry import METHODS

    arch, method, found = content.get("encoder", {}).get("arch"), content.get("method"), set()
    with suppress(UserError):  # no such name: the stage's check says so
        if arch:
            found.add(encoder_class(arch).__module__)
    with suppress(UserError):
        if method:
            found.add(METHODS[method].__module__)
    return {module for module in found if module.partition(".")[0] not in PACKAGES}


@lru_cache
def code_version(modules: tuple[str, ...]) -> str:
    """As :func:`mae_core.source_code.code_digest`, looked at once: a benchmark has one code."""
    return code_digest(modules)


def read_code(configs: Iterable["Config"]) -> None:
    """Look at the code of stages now, for all of this process's life."""
    code_version(tuple(all_modules()))
    for config in configs:
        code_of(config)


def read_by(node: Any, above: str = "") -> Iterator[Read]:
    """All paths in a part of a config."""
    pairs = enumerate(node) if isinstance(node, list | tuple) else node.items()
    for key, value in pairs:
        place = f"{above}{key}"
        if isinstance(value, str) and key in (*DATA_KEYS, REFERENCE):
            beside = (node.get("columns"), node.get(ROOT)) if key == "data" else ()
            yield Read(place, str(key), value, *beside)
        elif isinstance(value, dict | list | tuple):
            yield from read_by(value, f"{place}.")


def _dropped(content: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """A copy of a part of a config without the key that `path` leads to."""
    first, *rest = path
    if first not in content or (rest and not isinstance(content[first], dict)):
        return content
    if not rest:
        return {key: value for key, value in content.items() if key != first}
    return {**content, first: _dropped(content[first], rest)}


def _by_content(node: Any, digests: Mapping[str, str], above: str = "") -> Any:
    """A part of a config with the content's digest in place of each path of data or an encoder."""
    if isinstance(node, dict):
        content = {}
        for key, value in node.items():
            place = f"{above}{key}"
            is_path = isinstance(value, str) and key in (*DATA_KEYS, REFERENCE)
            content[key] = digests[place] if is_path else _by_content(value, digests, f"{place}.")
        return content
    if isinstance(node, list | tuple):
        return [_by_content(one, digests, f"{above}{i}.") for i, one in enumerate(node)]
    return node


def _without_data(node: Any) -> Any:
    if isinstance(node, dict):
        kept = {k: v for k, v in node.items() if k not in DATA_KEYS or not isinstance(v, str)}
        return {key: _without_data(value) for key, value in kept.items()}
    return [_without_data(one) for one in node] if isinstance(node, list | tuple) else node


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list | tuple):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _texts(value)
