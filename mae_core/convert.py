"""Checkpoints from one project's layout to another's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mae_core.checkpoints import read_layout, save_state
from mae_core.describe import decoder_fields, encoder_fields
from mae_core.encoders.timm_zoo import PREFIX, TimmEncoder
from mae_core.errors import UserError, suggest
from mae_core.files import replacing, write_json
from mae_core.grids import image_size
from mae_core.layouts import LAYOUTS, StateDict, to_layout
from mae_core.reading import VIT

# Not carried over: of the old layout, and what other projects' configs say (mae_core.reading).
DROPPED = ("format", "holds", "image_size", "heads")
SAID = (
    "pixels",
    "as_stored",
    "preprocessing",
    "licence",
    "source",
)  # of the images and origin of any weights
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Conversion:
    """What :func:`convert` did.

    Attributes:
        source: layout that was found.
        written: number of tensors written.
        left_out: keys (in our names) that the other layout has no place for.
        notes: what was taken off around the weights.
    """

    source: str
    written: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...] = ()


def convert(
    source: str | Path, target: Path, layout: str, img_size: tuple[int, int] | None = None
) -> Conversion:
    """Write the checkpoint `source` in another layout; tensors stay bit for bit the same.

    Args:
        source: a checkpoint of any known layout, or a folder of transformers.
        target: a .safetensors or .pth file; for 'hf' also a folder, which gets a `config.json`.
        layout: a name of :data:`LAYOUTS`.
        img_size: height and width of the encoder's images, where neither file nor positions tell.

    Raises:
        UserError: if the source cannot be read or has nothing in the layout, nothing tells its
            images' size where that is needed, or the target has another suffix or is in no folder.
    """
    if layout not in LAYOUTS:
        raise UserError(f"no layout is called '{layout}'{suggest(layout, LAYOUTS)}")
    folder = layout == "hf" and not target.suffix
    if not folder and target.suffix not in SUFFIXES:
        raise UserError(f"{target}: expected a name that ends with {', '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise UserError(f"cannot write {target}: there is no folder {target.parent}")
    found, state, notes, metadata = read_layout(source)
    family = metadata.get("family", VIT)
    if family == TimmEncoder.family and layout == "timm":
        return convert_timm(target, found, state, notes, metadata)
    if family != VIT:
        raise UserError(
            f"{source} holds an encoder of the family '{family}': only ViTs have layouts to "
            f"convert between, and the family '{TimmEncoder.family}' the layout 'timm'"
        )
    converted, left_out = to_layout(state, layout)
    if not converted:
        raise UserError(f"{source} has no weights for which '{layout}' has a place")
    known = {key: value for key, value in metadata.items() if key not in DROPPED}
    try:
        if layout == "native":
            about = native_metadata(state, metadata, img_size)
        else:
            about = {**known, "format": "pt"}
        if layout == "hf":
            check_square(state, metadata, img_size)
        config = hf_config(state, metadata, img_size) if folder else {}
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    try:
        if folder:
            target.mkdir(exist_ok=True)
            write_json(target / "config.json", config, indent=2)
            save_state(target / "model.safetensors", converted, **about)
        else:
            write_file(target, converted, about, LAYOUTS[layout].wrapper)
    except OSError as error:
        raise UserError(f"cannot write {target} ({error.strerror})") from error
    return Conversion(found, len(converted), tuple(left_out), notes)


def write_file(target: Path, state: StateDict, about: dict[str, Any], wrapper: str) -> None:
    """Write weights as safetensors with metadata, or as torch does under the key `wrapper`."""
    if target.suffix == ".safetensors":
        save_state(target, state, **about)
        return
    with replacing(target) as part:
        torch.save({wrapper: state} if wrapper else state, part)


def convert_timm(
    target: Path, found: str, state: StateDict, notes: tuple[str, ...], metadata: dict[str, Any]
) -> Conversion:
    """Write one of timm's models under timm's names, as `timm:<model>@<file>` and timm read it.

    So are files of `*.fcmae` weights, but that these lack the untrained `head.norm` of ours.
    """
    converted = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    left_out = tuple(key for key in state if not key.startswith(PREFIX))
    fields = metadata["encoder"]
    name, options = fields["model"], fields.get("options")
    size = [fields["in_chans"], *fields["img_size"]]
    kept = {key: metadata[key] for key in SAID if key in metadata}
    about = {**kept, "architecture": name, "input_size": size, "format": "pt"}
    built = [f"'{name}'", "num_classes=0"]
    if options:
        about["model_args"] = options
        built.append(f"**{options}")
    try:
        write_file(target, converted, about, LAYOUTS["timm"].wrapper)
    except OSError as error:
        raise UserError(f"cannot write {target} ({error.strerror})") from error
    said = f"timm builds its model by timm.create_model({', '.join(built)})"
    return Conversion(found, len(converted), left_out, (*notes, said))


def native_metadata(
    state: StateDict, metadata: dict[str, Any], img_size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """Metadata of our files: that of the source, or what the shapes and positions tell."""
    kept = {key: value for key, value in metadata.items() if key not in DROPPED}
    about = {**kept, "encoder": encoder_fields(state, metadata, img_size)}
    if "decoder.mask_token" in state:
        about["mae"] = metadata.get("mae") or decoder_fields(state)
    return about


def check_square(
    state: StateDict, metadata: dict[str, Any], img_size: tuple[int, int] | None = None
) -> None:
    """Raise UserError unless the images are square, as transformers' ViTMAE takes all."""
    if not any(key.startswith("encoder.") for key in state):
        return
    height, width = image_size(state, metadata, img_size)
    if height != width:
        raise UserError(f"transformers' ViTMAE needs square images, found {height}×{width}")


def hf_config(
    state: StateDict, metadata: dict[str, Any], img_size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """transformers' ViTMAEConfig for a state dict in our names."""
    encoder = encoder_fields(state, metadata, img_size)
    decoder: dict[str, Any] = {}
    if "decoder.mask_token" in state:
        decoder = metadata.get("mae") or decoder_fields(state)
    config = {
        "architectures": ["ViTMAEForPreTraining" if decoder else "ViTMAEModel"],
        "model_type": "vit_mae",
        "image_size": encoder["img_size"][0],
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
