"""What encoders and stages can be known to be wrong in before any stage runs; imports torch."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from mmengine.config import Config

from downstream.dense.fit_recipe import fit_recipe
from downstream.scratch import recipe_for, weights_of
from mae_core.agreement import outline
from mae_core.checkpoints import check_sizes, read_layout
from mae_core.data.sources import opened_once
from mae_core.encoders import Encoder
from mae_core.encoders.base import OFFERS
from mae_core.errors import UserError, check_name, suggest
from mae_core.for_encoder import own_preprocessing, with_encoder, with_stated
from mae_core.names import has_file, own_arch
from pipelines.cells.cell import cell_name
from pipelines.last_net import checking
from pipelines.recipes.rows import KNOWN, Row
from pipelines.stages import NO_FILE, card_of, check_encoder, check_stage, makes_classifier
from pipelines.tracking.encoders import EncoderRef, Lookup

log = logging.getLogger(__name__)
START = ("random",)  # what a pretraining may begin with beside files


def check_recipe(
    rows: Sequence[Row], columns: Mapping[str, Config], file: str
) -> dict[tuple[str, str], str]:
    """Raise UserError for what each stage can know to be wrong, and for encoders that do not fit.

    Args:
        rows: of the recipe.
        columns: its tasks' configs.
        file: of the recipe, for messages.

    Returns:
        Why a row cannot be tested by a task, by the names of task and row.
    """
    found: dict[tuple[str, str], str] = {}
    with opened_once(), checking(f"the check of {file}"):
        for row in rows:
            if row.config:
                check_stage(row.made_by, row.config, row.begins_with)
        for stage, config in columns.items():
            check_stage(stage, config, "random")
        for stage, row in product(columns, rows):
            with said_of(stage, row):
                reason = left_out(stage, columns, row)
                if reason:
                    found[stage, row.name] = reason
                else:
                    check_cell(stage, columns[stage], row)
    for row in rows:
        reasons = [found.get((stage, row.name)) for stage in columns]
        if reasons and all(reasons):
            raise UserError(
                f"{file}: no task is left for the row '{row.name}' ({reasons[0]}): leave it out of "
                "`encoders`, or add a task on frozen features, such as knn"
            )
    return found


@contextmanager
def said_of(stage: str, row: Row) -> Iterator[None]:
    """Say in each UserError of the block which cell it is about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{cell_name(stage, row.name)}: {error}") from error


def left_out(stage: str, columns: Mapping[str, Config], row: Row) -> str:
    """Why a row cannot be tested by a task, '' if it can."""
    if card_of(stage).takes == "classifier":
        stage = makes_classifier()
    return lack_of(stage, config_for(row, columns[stage], card_of(stage).from_scratch))


def lacking(stage: str, config: Config, encoder: str) -> str:
    """As :func:`left_out`, for an encoder as stages take it."""
    if card_of(stage).takes != "encoder":
        return ""
    source = weights_of(encoder)
    return lack_of(stage, with_encoder(recipe_for(config, source), source))


def lack_of(stage: str, config: Config) -> str:
    """What the encoder of `config` lacks for a stage, '' if nothing."""
    encoder = outline(config.encoder.to_dict())
    for need in card_of(stage).needs_for(config):
        if need not in encoder.offers:
            arch = config.encoder.arch
            return f"{stage} needs an encoder that {OFFERS[need]}, and {arch} is none"
    return ""


def config_for(row: Row, config: Config, from_scratch: bool = False) -> Config:
    """A task's config as it counts for a row, also for one whose encoder is not there yet.

    Args:
        row: of the recipe.
        config: of the task.
        from_scratch: whether the task trains the row 'supervised' anew, by its own config.
    """
    if row.ref:
        return with_encoder(recipe_for(config, row.ref.path), row.ref.path)
    plain = recipe_for(config, "")
    if row.config is None or (row.made_by == "supervise" and from_scratch):
        return plain
    makes = with_encoder(row.config, row.begins_with)
    made = outline(makes.encoder.to_dict()).metadata()
    made |= own_preprocessing(row.config, row.begins_with)
    own = with_stated(plain, row.name, {**made, "pixels": makes.pixels.to_dict()})
    if "backbone" not in config.get("model", {}) or "maps" not in outline(dict(own.encoder)).offers:
        return own
    # Random weights will stand in: a stage would take them for what the recipe was written for.
    return fit_recipe(plain, own)


def check_cell(stage: str, config: Config, row: Row) -> None:
    """As :func:`check_recipe`, for a task of one row that is not left out."""
    card = card_of(stage)
    if card.takes != "encoder":
        return
    if row.made_by == "supervise" and card.from_scratch and row.config:
        same_sizes(row.config, config)  # the row is one architecture
        checked = card.random_from_scratch and "scratch" in config  # as 'random'
        if not checked:
            check_stage(stage, config, row.name)
        return
    own = config_for(row, config)
    if row.ref and has_file(row.ref.path):
        check_sizes(own.encoder, row.ref.path, config.get("resample_patches", False))
    if other_images(own, config):
        if row.ref:
            check_encoder(stage, config, row.ref.path)
        else:
            check_encoder(stage, own, "random")


def other_images(own: Config, config: Config) -> bool:
    """Whether a row's config differs from the task's in more than in pixels and from scratch."""
    free = ("pixels", "scratch")
    one, other = ({k: v for k, v in c.to_dict().items() if k not in free} for c in (own, config))
    return one != other


def same_sizes(makes: Config, takes: Config) -> None:
    """Raise UserError unless two stages' configs have encoders of the same sizes."""
    one, other = (outline(config.encoder.to_dict()) for config in (makes, takes))
    resample = takes.get("resample_patches", False)
    sizes, taken = sizes_of(one, resample), sizes_of(other, resample)
    for key, value in sizes.items():
        if value != taken.get(key):
            raise UserError(
                f"{makes.filename} makes an encoder with {key}={value}, {takes.filename} trains "
                f"one with {key}={taken.get(key)} from scratch for the same row: change `encoder` "
                "in one of them"
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
    if own_arch(spec) and spec not in NO_FILE and names:
        outline({"arch": own_arch(spec)})  # says if there is none
        return EncoderRef(spec, spec)
    with checking(f"the look at the encoder '{spec}'"):
        found = lookup.encoder(spec)
        check_file(spec, found.path, names)
    return found


def find_start(config: Config, lookup: Lookup) -> EncoderRef | None:
    """The encoder that a stage's config goes on from (`start`), None if from none.

    Raises:
        UserError: as :func:`find_encoder`; also for a stage that goes on from none.
    """
    start = start_of(config)
    if start == "random":
        return None
    try:
        return find_encoder(start, lookup, START)
    except UserError as error:
        raise UserError(f"start of {config.filename}: {error}") from error


def start_of(config: Config) -> str:
    """What the config of a stage that makes an encoder says it goes on from, else 'random'."""
    start = config.get("start") or "random"
    if not isinstance(start, str) or (card_of(config.stage).takes != "start" and start != "random"):
        raise UserError(
            f"{config.filename} has start={start!r}: expected the name of an encoder, in the "
            "config of a pretraining"
        )
    return start


def check_file(encoder: str, path: str, names: Sequence[str]) -> None:
    """Raise UserError unless an encoder's file is there and holds weights."""
    if not Path(path).is_file():
        raise UserError(
            f"no encoder at '{encoder}'{suggest(encoder, names)}, timm:<model>, runs:/<id>, or "
            "the path of a checkpoint"
        )
    for note in read_layout(path).notes:
        log.warning(f"{encoder}: {note}")
