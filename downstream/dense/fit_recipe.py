"""A dense recipe, which is written for one plain ViT, as it counts for any row's encoder.

Heads stay as they are; which maps they get, of which strides, follows from the encoder.
"""

import copy
from typing import Any

from mmengine.config import Config

from downstream.dense.levels import (
    SCALES,
    in_proportion,
    is_hierarchical,
    last_layers,
    nearest_run,
    with_coarser,
)
from mae_core.agreement import outline
from mae_core.encoders.base import Encoder
from mae_core.errors import UserError
from mae_core.stage import Reporter

USUAL = 4  # pixels, the finest stride of an UperNet
PYRAMID = "SimpleFeaturePyramid"
KEPT = ("type", "layers", "frozen")  # of a plain ViT's backbone, by any encoder's


def fit_recipe(given: Config, config: Config, reporter: Reporter | None = None) -> Config:
    """A stage's config whose maps, strides and paddings are right for its encoder.

    With a plain ViT of the recipe's depth and patch it stays as it is; so does a recipe that names
    `EncoderMaps` itself. See `docs/dense.md` for the rules.

    Args:
        given: the recipe, with the encoder that it was written for.
        config: the same as it counts for a row's encoder; stays as it is.
        reporter: gets a note of what is other than the recipe says.

    Raises:
        UserError: if the encoder has no feature maps, or fewer layers than the recipe takes.
    """
    encoder = outline(config.encoder)
    encoder.require("maps", f"the stage {config.stage}")
    if config.model.backbone.type != "MAEViT":
        return config
    fitted = copy.deepcopy(config)
    backbone, plain = fitted.model.backbone, "plain" in encoder.offers
    notes = [] if plain else [take_any(fitted, given)]
    if is_hierarchical(encoder):
        notes.append(take_strides(fitted, encoder))
    else:
        before = outline(given.encoder)
        depth, other = len(encoder.widths), len(encoder.widths) != len(before.widths)
        if other or not plain:
            fit_layers(fitted, depth)
        if other and plain and given.get("activation_checkpointing"):
            names = [f"backbone.encoder.blocks.{i}" for i in range(depth)]
            fitted.activation_checkpointing = names
        notes.append(fit_scales(fitted, encoder, before))
    if backbone.type != "MAEViT" or any(notes):
        pad(fitted, encoder)
    told = "; ".join(note for note in notes if note)
    if told and reporter is not None:
        reporter.note(f"{config.encoder.arch}: {told}")
    return fitted


def take_any(config: Config, given: Config) -> str:
    """Put the backbone for any encoder in the place of a plain ViT's; what is left out."""
    before = config.model.backbone
    backbone = {key: before[key] for key in ("layers", "frozen") if key in before}
    if given.get("activation_checkpointing"):
        backbone["checkpointing"] = True
        config.activation_checkpointing = None
    left = [key for key, value in before.items() if value and key not in KEPT]
    left += [key for key, value in before.items() if value is False and key == "final_norm"]
    config.model.backbone = {"type": "EncoderMaps", **backbone}
    if not left:
        return ""
    return f"only blocks of a plain ViT take {', '.join(left)}, which is left out"


def fit_layers(config: Config, depth: int) -> None:
    """Layers and global blocks for an encoder of another depth than the recipe's."""
    backbone = config.model.backbone
    layers = list(backbone.layers)
    fitted = in_proportion(layers, depth)
    if len(set(fitted)) < len(set(layers)):
        raise UserError(
            f"the encoder {config.encoder.arch} has {depth} layers, the recipe takes maps of "
            f"{len(layers)} (model.backbone.layers={layers}): take a recipe with fewer"
        )
    if backbone.get("global_blocks"):
        own = max(layers) + 1
        blocks = in_proportion([*backbone.global_blocks, own - 1], depth)
        backbone.global_blocks = sorted(set(blocks[:-1]))
    backbone.layers = fitted


def take_strides(config: Config, encoder: Encoder) -> str:
    """Maps at an encoder's own strides, through FPN to a detector, at once to other heads."""
    model, layers = config.model, last_layers(encoder)
    neck: Any = model.get("neck") or {}
    pyramid = neck.get("scales") or neck.get("rescales")
    count = len(pyramid) if pyramid else len(model.backbone.layers)
    anchors = anchors_of(model)
    finest = anchors.strides[0] if anchors else USUAL
    strides = nearest_run(list(layers), count, finest) if count > 1 else [max(layers)]
    model.backbone.layers = [layers[int(stride)] for stride in strides]
    told = ", ".join(f"{stride:g}" for stride in strides)
    if anchors:
        levels = count + neck.get("coarser", 0)
        channels = neck.out_channels
        model.neck = {"type": "FPN", "out_channels": channels, "num_outs": levels}
        set_strides(model, with_coarser(strides, levels))
        return f"FPN on its maps of strides {told}"
    if not pyramid:
        return ""
    model.pop("neck")
    model.decode_head.in_index = list(range(len(strides)))
    if model.get("auxiliary_head"):
        model.auxiliary_head.in_index = min(model.auxiliary_head.in_index, len(strides) - 1)
    return f"no neck, its maps of strides {told}"


def fit_scales(config: Config, encoder: Encoder, before: Encoder) -> str:
    """The simple feature pyramid's scales, and a detector's strides, for another patch."""
    model, stride = config.model, encoder.strides[-1]
    neck, anchors = model.get("neck"), anchors_of(model)
    if neck is None or neck.type != PYRAMID:
        return ""
    wanted = with_coarser([stride / scale for scale in neck.scales], levels_of(neck))
    if anchors is None and stride == before.strides[-1]:
        return ""
    if anchors is not None and wanted == [float(one) for one in anchors.strides]:
        return ""
    finest = anchors.strides[0] if anchors else USUAL
    strides = nearest_run([stride / scale for scale in SCALES], len(neck.scales), finest)
    neck.scales = [stride / one for one in strides]
    if anchors:
        set_strides(model, with_coarser(strides, levels_of(neck)))
    return f"a pyramid of strides {', '.join(f'{one:g}' for one in strides)} on its last map"


def levels_of(neck: Any) -> int:
    """How many maps a simple feature pyramid makes."""
    return len(neck.scales) + neck.get("coarser", 0)


def anchors_of(model: Any) -> Any:
    """The config of a detector's anchors; None of other models."""
    return model.rpn_head.anchor_generator if model.get("rpn_head") else None


def set_strides(model: Any, strides: list[float]) -> None:
    """Give a detector's heads the strides of their maps; anchors keep their sizes in pixels."""
    anchors, roi = anchors_of(model), model.roi_head
    if list(anchors.strides) != strides:
        anchors.setdefault("base_sizes", list(anchors.strides))
    anchors.strides = strides
    for key in ("bbox_roi_extractor", "mask_roi_extractor"):
        extractor = roi[key]
        extractor.featmap_strides = strides[: len(extractor.featmap_strides)]


def multiple_of(config: Config, encoder: Encoder) -> int:
    """What the sides of images must be multiples of, in pixels."""
    model = config.model
    largest = max(encoder.strides[: max(model.backbone.layers) + 1])
    neck: Any = model.get("neck") or {}
    coarsest = min(neck.get("scales") or neck.get("rescales") or [1])
    return round(largest / min(coarsest, 1))


def pad(config: Config, encoder: Encoder) -> None:
    """Fill images up, and enlarge crops, to multiples of what the encoder and the neck take."""
    model, multiple = config.model, multiple_of(config, encoder)
    preprocess = model.data_preprocessor
    image: Any = config.get("image") or {}
    if preprocess.get("pad_size_divisor", multiple) % multiple:
        preprocess.pad_size_divisor = multiple
    if config.get("size_divisor", multiple) % multiple:
        config.size_divisor = multiple
    if model.get("test_cfg") and model.test_cfg.get("crop_size") and image.get("crop"):
        crop = round_up(image.crop, multiple)
        image.crop, model.test_cfg.crop_size = crop, (crop, crop)


def round_up(side: int, multiple: int) -> int:
    """The least multiple that is not below `side`."""
    return -(-side // multiple) * multiple
