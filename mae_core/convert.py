"""Checkpoints from one project's layout to another's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mae_core.checkpoints import read_layout, read_metadata, save_state
from mae_core.describe import decoder_fields, encoder_fields
from mae_core.errors import UserError, suggest
from mae_core.layouts import LAYOUTS, StateDict, to_layout

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Conversion:
    """What :func:`convert` did.

    Attributes:
        source: layout that was found.
        written: number of tensors written.
        left_out: keys (in our names) that the other layout has no place for.
    """

    source: str
    written: int
    left_out: tuple[str, ...]


def convert(source: str | Path, target: Path, layout: str) -> Conversion:
    """Write the checkpoint `source` in another layout; tensors stay bit for bit the same.

    Args:
        source: a checkpoint of any known layout, or a folder of transformers.
        target: a .safetensors or .pth file; for 'hf' also a folder, which gets a `config.json`.
        layout: a name of :data:`LAYOUTS`.

    Raises:
        UserError: if the source cannot be read or has nothing in the layout, or the target has
            another suffix or lies in no folder.
    """
    if layout not in LAYOUTS:
        raise UserError(f"no layout is called '{layout}'{suggest(layout, LAYOUTS)}")
    folder = layout == "hf" and not target.suffix
    if not folder and target.suffix not in SUFFIXES:
        raise UserError(f"{target}: expected a name that ends with {', '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise UserError(f"cannot write {target}: there is no folder {target.parent}")
    (found, state, notes), metadata = read_layout(source), read_metadata(source)
    converted, left_out = to_layout(state, layout)
    if not converted:
        raise UserError(f"{source} has no weights for which '{layout}' has a place")
    known = {key: value for key, value in metadata.items() if key != "format"}
    about = native_metadata(state, known) if layout == "native" else {**known, "format": "pt"}
    try:
        if folder:
            config = json.dumps(hf_config(state, metadata), indent=2)
            target.mkdir(exist_ok=True)
            (target / "config.json").write_text(config + "\n")
            save_state(target / "model.safetensors", converted, **about)
        elif target.suffix == ".safetensors":
            save_state(target, converted, **about)
        else:
            wrapper = LAYOUTS[layout].wrapper
            temporary = target.with_name(target.name + ".part")
            torch.save({wrapper: converted} if wrapper else converted, temporary)
            temporary.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {target} ({error.strerror})") from error
    return Conversion(found, len(converted), tuple(left_out))


def native_metadata(state: StateDict, metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata of our files: that of the source, or what the shapes tell."""
    about = {**metadata, "encoder": encoder_fields(state, metadata)}
    if "decoder.mask_token" in state:
        about["mae"] = metadata.get("mae") or decoder_fields(state)
    return about


def hf_config(state: StateDict, metadata: dict[str, Any]) -> dict[str, Any]:
    """transformers' ViTMAEConfig for a state dict in our names.

    Raises:
        UserError: if the images are not square, which ViTMAE does not know.
    """
    encoder = encoder_fields(state, metadata)
    decoder: dict[str, Any] = {}
    if "decoder.mask_token" in state:
        decoder = metadata.get("mae") or decoder_fields(state)
    height, width = encoder["img_size"]
    if height != width:
        raise UserError(f"transformers' ViTMAE needs square images, found {height}×{width}")
    config = {
        "architectures": ["ViTMAEForPreTraining" if decoder else "ViTMAEModel"],
        "model_type": "vit_mae",
        "image_size": height,
        "patch_size": encoder["patch_size"],
        "num_channels": encoder["in_chans"],
        "hidden_size": encoder["width"],
        "num_hidden_layers": encoder["depth"],
        "num_attention_heads": encoder["heads"],
        "intermediate_size": round(encoder["width"] * encoder["mlp_ratio"]),
        "layer_norm_eps": 1e-6,
        "norm_pix_loss": decoder.get("norm_pix_loss", True),
        "mask_ratio": decoder.get("mask_ratio", 0.75),
    }
    if decoder:
        config |= {
            "decoder_hidden_size": decoder["decoder_width"],
            "decoder_num_hidden_layers": decoder["decoder_depth"],
            "decoder_num_attention_heads": decoder["decoder_heads"],
            "decoder_intermediate_size": 4 * decoder["decoder_width"],
        }
    return config
