"""What encoders and stages can be known to be wrong in before any stage runs; imports torch."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from mae_core.checkpoints import SIZES, check_sizes, read_layout
from mae_core.data.sources import opened_once
from mae_core.errors import UserError, check_name, suggest
from mae_core.models import create_encoder
from pipelines.last_net import checking
from pipelines.recipes.rows import KNOWN, Row
from pipelines.stages import FROM_SCRATCH, NO_FILE, SAME_AS_RANDOM, check_stage
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
    if row.config:
        same_sizes(row.config, config)
    if row.made_by == "supervise" and stage in FROM_SCRATCH:
        checked = stage in SAME_AS_RANDOM and "scratch" in config  # as 'random'
        if not checked:
            check_stage(stage, config, row.name)
    elif row.ref and row.ref.path not in NO_FILE and stage != "evaluate":
        check_sizes(config.encoder, row.ref.path, config.get("resample_patches", False))


def same_sizes(makes: Config, takes: Config) -> None:
    """Raise UserError unless two stages' configs have encoders of the same sizes."""
    with torch.device("meta"):
        one, other = (create_encoder(**config.encoder).config for config in (makes, takes))
    for key in (*SIZES[takes.get("resample_patches", False) :], "in_chans"):
        if one[key] != other[key]:
            raise UserError(
                f"{makes.filename} makes an encoder with {key}={one[key]}, {takes.filename} takes "
                f"one with {key}={other[key]}: change `encoder` in one of them"
            )


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
