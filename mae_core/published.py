"""Published encoders by name: `timm:<model>`, downloaded once and kept as our own files."""

import hashlib
import logging
import re
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from mae_core.checkpoints import read_metadata, read_state, save_encoder, save_state
from mae_core.data.cache import cache_root, locked
from mae_core.encoders.vit import ViTEncoder
from mae_core.errors import UserError, suggest
from mae_core.files import digest
from mae_core.pixels import pixels_beside
from mae_core.reading import IN_FOLDER, INDEX, part_files, weights_file

log = logging.getLogger(__name__)

TIMM = "timm:"
NAME = re.compile(r"[\w.-]+")  # of a model, which is part of a file's name
TOLERANCE = 1e-3  # between timm's features and ours, in units of their deviation


def resolve_encoder(spec: str) -> str:
    """'random' or a file's path, '~' aside; the file of a published encoder for `timm:<model>`.

    Of a folder of transformers it is the file with the weights; weights in several parts are put
    together in one file of the cache. A licence that forbids commercial use is told in the log.

    Raises:
        UserError: if timm has no such model, it cannot be had, it is not a plain ViT, or a part is
            missing or damaged.
    """
    if not spec.startswith(TIMM):
        return one_file(spec)
    name = spec.removeprefix(TIMM)
    if not NAME.fullmatch(name):
        raise UserError(f"timm has no model called '{name}'")
    path = cache_root() / "encoders" / f"{name}.safetensors"
    with locked(path):
        if not path.is_file():
            model = _from_timm(name)
            encoder = to_encoder(model, name)
            about: dict[str, Any] = cast(Any, model).pretrained_cfg
            save_encoder(
                path,
                encoder,
                pixels={key: [255 * value for value in about[key]] for key in ("mean", "std")},
                licence=about.get("license") or "unknown",
                source=spec,
            )
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
    parts = "".join([*map(digest, [path, *part_files(path)]), str(pixels or "")])
    name = hashlib.sha256(parts.encode()).hexdigest()[:24]
    joined = cache_root() / "encoders" / f"parts-{name}.safetensors"
    with locked(joined):
        if not joined.is_file():
            about = {} if pixels is None else {"pixels": pixels}
            save_state(joined, read_state(path), source=str(path), **about)
    return str(joined)


def licence_note(name: str, licence: str) -> str:
    """A sentence on a licence that forbids commercial use, else ''."""
    if "nc" not in licence.lower().split("-"):
        return ""
    return f"{name} is licensed {licence.upper()}: not for commercial use"


def _from_timm(name: str) -> VisionTransformer:
    known = timm.list_models("vit_*", pretrained=True)
    if name not in known:
        raise UserError(f"timm has no pretrained ViT called '{name}'{_nearest(name, known)}")
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the network, the hub's client or the disk: anything
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"timm:{name} cannot be downloaded ({first}): download its weights on another machine "
            "and give the file's path"
        ) from error
    if not isinstance(model, VisionTransformer):
        raise UserError(f"timm:{name} is a {type(model).__name__}, not a plain ViT")
    return model


def _nearest(name: str, known: list[str]) -> str:
    return suggest(name, known).partition(" Choices")[0]


def to_encoder(model: VisionTransformer, name: str) -> ViTEncoder:
    """timm's model as our encoder.

    Raises:
        UserError: if it has other parts than a plain ViT, or its features come out differently.
    """
    state = model.state_dict()
    embed, first = model.patch_embed, cast(Any, model.blocks[0])
    fields: dict[str, Any] = {
        "img_size": list(embed.img_size),
        "patch_size": embed.patch_size[0],
        "in_chans": embed.proj.in_channels,
        "width": model.embed_dim,
        "depth": len(model.blocks),
        "heads": first.attn.num_heads,
        "mlp_ratio": first.mlp.fc1.out_features / model.embed_dim,
    }
    encoder = ViTEncoder(**fields)
    odd = sorted(state.keys() ^ encoder.state_dict().keys())
    if odd or state["pos_embed"].shape != encoder.pos_embed.shape:
        raise UserError(
            f"timm:{name} is not a plain ViT with class token: {', '.join(odd[:5]) or 'pos_embed'}"
        )
    encoder.load_state_dict(state)
    _check_features(model, encoder, name)
    return encoder


@torch.no_grad()
def _check_features(model: VisionTransformer, encoder: ViTEncoder, name: str) -> None:
    """Raise UserError unless both give the same tokens: an activation has no key to miss."""
    images = torch.rand(1, encoder.config["in_chans"], *encoder.img_size)
    theirs: Tensor = model.eval().forward_features(images)
    difference = (encoder.eval()(images) - theirs).abs().max() / theirs.std()
    if difference > TOLERANCE:
        raise UserError(
            f"timm:{name} is not a plain ViT: our encoder's features differ by {difference:.2g} "
            "deviations"
        )
