"""Which encoders there are by name, what is known of each, and whether its weights are here."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from timm.models import PretrainedCfg

from mae_core.agreement import outline
from mae_core.data.cache import cache_root
from mae_core.encoders.cost import parameters_of
from mae_core.encoders.registry import ARCHITECTURES
from mae_core.errors import UserError
from mae_core.names import TIMM
from mae_core.packaged import PACKAGED, packaged_file
from mae_core.reading import read_metadata
from mae_core.timm_models import UNKNOWN, config_of, nearest

KEPT, FETCHED, ABSENT = "cache", "hub's cache", "to download"  # where published weights are
HERE, NOT_HERE = "installed", "not installed"  # a package with weights
SMALL = 96  # pixels: a multiple of every patch of ours
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Offer:
    """An encoder that can be named.

    Attributes:
        spec: what `--encoder` or, of our architectures, a config's `encoder.arch` takes.
        family: of :data:`mae_core.encoders.registry.FAMILIES`.
        licence: of its weights; '' where it has none.
        where: its weights are; '' where it has none.
    """

    spec: str
    family: str
    licence: str = ""
    where: str = ""

    @property
    def arch(self) -> str:
        """What :func:`mae_core.create_encoder` takes for it."""
        return self.spec.partition("@")[0]


def offers() -> list[Offer]:
    """Our architectures, trivial encoders, packages' weights, then all that timm can download."""
    found = [Offer(name, ARCHITECTURES[name].family) for name in ARCHITECTURES.names()]
    for name, entry in PACKAGED.items():
        found.append(Offer(f"{TIMM}{name}@package", "timm", entry.licence, packaged_state(name)))
    for name in timm.list_pretrained():
        cfg = config_of(name)
        licence = (cfg.license or UNKNOWN).lower()
        found.append(Offer(f"{TIMM}{name}", "timm", licence, where_weights_are(name, cfg)))
    return found


def packaged_state(model: str) -> str:
    """Whether the package with a model's weights is installed."""
    try:
        packaged_file(model)
    except UserError:
        return NOT_HERE
    return HERE


def where_weights_are(name: str, cfg: PretrainedCfg) -> str:
    """In our cache, in that of the hub's client or of torch, or still to be downloaded."""
    if (cache_root() / "encoders" / f"{name}.safetensors").is_file():
        return KEPT
    url = cfg.url[-1] if isinstance(cfg.url, tuple) else cfg.url  # or (address, file's name)
    if url and (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file():
        return FETCHED
    files = (cfg.hf_hub_filename,) if cfg.hf_hub_filename else HUB_FILES
    for file in files if cfg.hf_hub_id else ():
        if isinstance(try_to_load_from_cache(str(cfg.hf_hub_id), file), str):
            return FETCHED
    return ABSENT


def matching(pattern: str, among: list[Offer]) -> list[Offer]:
    """Those whose name fits a pattern with `*`, `?` or `[...]`, or else has it as a part.

    Raises:
        UserError: if there are none, with the nearest names.
    """
    wanted = pattern.removeprefix(TIMM)
    glob = any(sign in wanted for sign in "*?[")
    found = []
    for offer in among:
        name = offer.spec.removeprefix(TIMM)
        if fnmatchcase(name, wanted) if glob else wanted in name:
            found.append(offer)
    if not found:
        names = [offer.spec.removeprefix(TIMM) for offer in among]
        raise UserError(f"no encoder's name fits '{pattern}'{nearest(wanted, names)}")
    return found


def here(among: list[Offer]) -> list[Offer]:
    """What needs no download: all but timm's models, and those of them that are in a cache."""
    return [offer for offer in among if offer.where != ABSENT]


def made() -> Iterator[tuple[str, str, str]]:
    """File, source and licence of what was made of local files and folders, in our cache."""
    for path in sorted((cache_root() / "encoders").glob("*.safetensors")):
        about = read_metadata(path)
        source = str(about.get("source", ""))
        if "@" in source and not source.endswith("@package"):
            yield path.name, source, str(about.get("licence", UNKNOWN))


def groups() -> list[tuple[str, int, str]]:
    """timm's modules of models: name, pretrained weights in it, and the first of them."""
    modules = {name: timm.model_entrypoint(name).__module__ for name in timm.list_models()}
    named = [(modules[n.partition(".")[0]].rpartition(".")[2], n) for n in timm.list_pretrained()]
    counts = Counter(module for module, _ in named)
    first = {module: name for module, name in reversed(named)}
    return [(module, counts[module], first[module]) for module in sorted(counts)]


def parameters(offer: Offer) -> int:
    """How many weights an encoder has."""
    fields = {"arch": offer.arch.partition(".")[0]}
    try:
        return parameters_of(outline(fields))
    except UserError:  # patches of 6 do not make up the usual 224
        return parameters_of(outline({**fields, "img_size": SMALL}))


def input_size(offer: Offer) -> tuple[int, int] | None:
    """Height and width of the images that weights were trained on; None where a config says it."""
    if not offer.arch.startswith(TIMM):
        return None
    height, width = config_of(offer.arch.removeprefix(TIMM)).input_size[-2:]
    return height, width
