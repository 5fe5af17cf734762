"""What encoders and stages can be known to be wrong in before any stage runs; imports torch."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mae_core.checkpoints import check_sizes, read_layout
from mae_core.data.sources import opened_once
from mae_core.encoders import Encoder, create_encoder
from mae_core.errors import UserError, check_name, suggest
from pipelines.last_net import checking
from pipelines.recipes.rows import KNOWN, Row
from pipelines.stages import NO_FILE, card_of, check_stage
from pipelines.tracking.encoders import EncoderRef, Lookup

log = logging.getLogger(__name__)


def check_recipe(rows: Sequence[Row], columns: Mapping[str, Config], file: str) -> None:
    """Raise UserError for what each stage can know to be wrong, and for encoders that do not fit.

    The sizes of an encoder are those of the stage that makes it, or of its file.

    Args:
        rows: of the recipe.
        columns: its tasks' configs.
        file: of the recipe, for messages.
    """
    with opened_once(), checking(f"the check of {file}"):
        for row in rows:
            if row.config:
                check_stage(row.made_by, row.config, "random")
        for stage, config in columns.items():
            check_stage(stage, config, "random")
            for row in rows:
                check_cell(stage, config, row)


def check_cell(stage: str, config: Config, row: Row) -> None:
    """As :func:`check_recipe`, for a task of one row."""
    card = card_of(stage)
    if row.config:
        same_sizes(row.config, config)
    if row.made_by == "supervise" and card.from_scratch:
        checked = card.random_from_scratch and "scratch" in config  # as 'random'
        if not checked:
            check_stage(stage, config, row.name)
    elif row.ref and row.ref.path not in NO_FILE and card.takes == "encoder":
        check_sizes(config.encoder, row.ref.path, config.get("resample_patches", False))


def same_sizes(makes: Config, takes: Config) -> None:
    """Raise UserError unless two stages' configs have encoders of the same sizes."""
    with torch.device("meta"):
        encoders = [create_encoder(**config.encoder) for config in (makes, takes)]
    resample = takes.get("resample_patches", False)
    one, other = (sizes_of(encoder, resample) for encoder in encoders)
    for key in one:
        if one[key] != other.get(key):
            raise UserError(
                f"{makes.filename} makes an encoder with {key}={one[key]}, {takes.filename} takes "
                f"one with {key}={other.get(key)}: change `encoder` in one of them"
            )


def sizes_of(encoder: Encoder, resample: bool) -> dict[str, Any]:
    """What of an encoder its weights are made for."""
    family, channels = encoder.family, encoder.config["in_chans"]
    return {"family": family, **encoder.bound(resample), "in_chans": channels}


def find_encoder(spec: str, lookup: Lookup, names: Sequence[str] = KNOWN) -> EncoderRef:
    """One of `names` that has no file, or a published encoder, a run's or a checkpoint, checked.

    A published one is downloaded if it is not in the cache. What was taken off around the weights
    of a checkpoint is told in the log.

    Raises:
        UserError: if it is none, or its file holds no weights.
    """
    if spec in names and spec in NO_FILE:
        return EncoderRef(spec, spec)
    check_name(spec)
    with checking(f"the look at the encoder '{spec}'"):
        found = lookup.encoder(spec)
        check_file(spec, found.path, names)
    return found


def check_file(encoder: str, path: str, names: Sequence[str]) -> None:
    """Raise UserError unless an encoder's file is there and holds weights."""
    if not Path(path).is_file():
        raise UserError(
            f"no encoder at '{encoder}'{suggest(encoder, names)}, timm:<model>, runs:/<id>, or "
            "the path of a checkpoint"
        )
    for note in read_layout(path).notes:
        log.warning(f"{encoder}: {note}")
