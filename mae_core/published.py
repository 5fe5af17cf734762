"""Encoders by name: published ones are downloaded or converted once and kept as our own files.

`timm:<model>` is downloaded, `timm:<model>@<file>` takes local weights of that architecture,
`timm:<model>@package` those of an installed package, and `timm:<model>@random` has none.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
from timm.models import PretrainedCfg

from mae_core.checkpoints import read_metadata, read_state, save_encoder, save_state
from mae_core.data.cache import cache_root, locked
from mae_core.errors import UserError
from mae_core.files import digest
from mae_core.licences import is_non_commercial
from mae_core.names import TIMM, has_file
from mae_core.packaged import PACKAGED, packaged_file
from mae_core.pixels import pixels_beside
from mae_core.reading import IN_FOLDER, INDEX, part_files, read_content, weights_file
from mae_core.timm_models import check_model, config_of, facts, pretrained_name
from mae_core.timm_stated import hub_architecture, with_stated
from mae_core.timm_weights import timm_encoder

log = logging.getLogger(__name__)

PACKAGE = "package"  # instead of a file: weights from an installed package


def resolve_encoder(spec: str) -> str:
    """The path of an encoder's file, '~' aside; the name itself of one that has no file.

    Of a folder of transformers it is the file with the weights; weights in several parts are put
    together in one file of the cache, and so is what timm's names mean, and a folder that timm
    wrote. A licence that forbids commercial use is told in the log.

    Raises:
        UserError: if timm has no such model, its weights cannot be had or do not fit it, or a part
            is missing or damaged.
    """
    if spec.startswith(TIMM):
        name, at, source = spec.removeprefix(TIMM).partition("@")
        if at and not has_file(spec):
            check_model(name)
            return spec
        if not at:
            path = downloaded(name)
        elif source == PACKAGE:
            path = from_package(name)
        else:
            path = from_file(name, source)
    elif not has_file(spec):
        return spec
    elif arch := hub_architecture(Path(spec).expanduser()):
        path = from_file(arch, spec)
    else:
        return one_file(spec)
    note = licence_note(spec, str(read_metadata(path).get("licence", "")))
    if note:
        log.warning(note)
    return str(path)


def one_file(spec: str) -> str:
    """The one file with the weights that a folder of transformers or a list of parts leads to."""
    path = Path(spec).expanduser()
    if path.is_dir() and any((path / name).is_file() for name in IN_FOLDER):
        path = weights_file(path)
    if not (path.name.endswith(INDEX) and path.is_file()):
        return str(path) if path.is_file() else spec
    pixels = pixels_beside(path)
    joined = cached("parts", *map(digest, [path, *part_files(path)]), str(pixels or ""))
    with locked(joined):
        if not joined.is_file():
            about = {} if pixels is None else {"pixels": pixels}
            save_state(joined, read_state(path), source=str(path), **about)
    return str(joined)


def downloaded(name: str) -> Path:
    """The file of published weights, downloaded if it is not in the cache."""
    full = pretrained_name(name)
    path, cfg = cache_root() / "encoders" / f"{full}.safetensors", config_of(full)
    with locked(path):
        if not path.is_file():
            with heard() as messages:
                state = published_state(full)
            encoder, notes = timm_encoder(full, state, cfg, f"timm:{full}")
            keep(path, encoder, cfg, f"{TIMM}{full}", [*messages, *notes])
        elif "preprocessing" not in read_metadata(path):  # of a former version
            about = {**read_metadata(path), "preprocessing": facts(cfg)["preprocessing"]}
            save_state(path, read_content(path), **about)
    return path


def published_state(full: str) -> dict[str, Any]:
    """All weights of a published model, its classifier among them, which timm loads strictly.

    Without the classifier it would let pass what is missing.
    """
    try:
        found: dict[str, Any] = timm.create_model(full, pretrained=True).state_dict()
    except Exception as error:  # the network, the hub's client or the disk: anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        if "loading state_dict" in lines[0]:
            raise UserError(
                f"timm:{full}: what was downloaded does not fit timm {timm.__version__}: "
                f"{' '.join(line.strip() for line in lines[1:3])[:400]}"
            ) from error
        raise UserError(
            f"timm:{full} cannot be downloaded ({lines[0]}): download its weights on another "
            f"machine and give the file's path: timm:{full}@<file>"
        ) from error
    return found


@contextmanager
def heard() -> Iterator[list[str]]:
    """What timm says of weights that are missing or left over, which it tells its log alone."""
    messages: list[str] = []
    theirs = logging.getLogger("timm.models._builder")

    class Listener(logging.Handler):
        """Keeps what it is told of keys."""

        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if text.startswith(("Missing keys", "Unexpected keys")):
                messages.append(f"timm says: {text}")

    listener, level = Listener(), theirs.level
    theirs.addHandler(listener)
    theirs.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        theirs.removeHandler(listener)
        theirs.setLevel(level)


def from_file(name: str, source: str) -> Path:
    """Our file of local weights of a timm architecture, made once of each content."""
    arch = check_model(name)
    if not source:
        raise UserError(f"timm:{name}@: expected a file after '@', {PACKAGE} or random")
    path = weights_file(source)
    cfg = with_stated(config_of(name), arch, path)
    files = [path, *part_files(path)] if path.name.endswith(INDEX) else [path]
    ours = cached(f"timm-{name}", *map(digest, files), repr(cfg))
    with locked(ours):
        if not ours.is_file():
            encoder, notes = timm_encoder(name, read_content(path), cfg, str(path))
            keep(ours, encoder, cfg, f"{TIMM}{name}@{path}", notes)
    return ours


def from_package(name: str) -> Path:
    """Our file of a package's weights, made once of each content."""
    path, entry = packaged_file(name), PACKAGED[name]
    mean, std = (tuple(n / 255 for n in entry.pixels[key]) for key in ("mean", "std"))
    cfg = dataclasses.replace(config_of(name), mean=mean, std=std, license=entry.licence)
    ours = cached(f"timm-{name}", digest(path), repr(cfg), PACKAGE)
    with locked(ours):
        if not ours.is_file():
            state = entry.rename(read_content(path))
            encoder, notes = timm_encoder(name, state, cfg, str(path))
            keep(ours, encoder, cfg, f"{TIMM}{name}@{PACKAGE}", notes, pixels=entry.pixels)
    return ours


def cached(begins: str, *identity: str) -> Path:
    """A file of the cache for what is told apart by `identity`."""
    name = hashlib.sha256("".join(identity).encode()).hexdigest()[:24]
    return cache_root() / "encoders" / f"{begins}-{name}.safetensors"


def keep(
    path: Path, encoder: Any, cfg: PretrainedCfg, source: str, notes: list[str], **more: Any
) -> None:
    """Write an encoder with what is known of its weights."""
    about = facts(cfg) | more
    if len(about["pixels"]["mean"]) != encoder.config["in_chans"]:
        del about["pixels"]
    save_encoder(path, encoder, **about, source=source, notes=notes)


def licence_note(name: str, licence: str) -> str:
    """A sentence on a licence that forbids commercial use, else ''."""
    if not is_non_commercial(licence):
        return ""
    return f"{name} is licensed {licence.upper()}: not for commercial use"
