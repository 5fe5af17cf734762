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
from pipelines.stages import check_stage, stages
from pipelines.tracking.encoders import resolve_encoder

log = logging.getLogger(__name__)

ROWS = ("mae", "random", "supervised")


def check_recipe(content: Config, configs: Mapping[str, Config]) -> None:
    """Raise UserError for a row that is no encoder, and as :func:`check_stages`.

    Args:
        content: of the recipe.
        configs: by stage.
    """
    for encoder in content.encoders:
        check_encoder(encoder, ROWS)
    with opened_once(), checking(f"the check of {content.filename}"):
        check_stages(content, configs)


def check_stages(content: Config, configs: Mapping[str, Config]) -> None:
    """Raise UserError for what each stage can know to be wrong, and for encoders that do not fit.

    The sizes of an encoder are those of the stage that makes it, or of its file.
    """
    made = {"mae": "pretrain", "supervised": "supervise"}
    for stage, config in configs.items():
        check_stage(stage, config, "random")
        if stage not in content.tasks:
            continue
        for encoder in content.encoders:
            if encoder in made:
                same_sizes(configs[made[encoder]], config)
            if encoder == "supervised" and stages()[stage].from_scratch:
                checked = stages()[stage].random_from_scratch and "scratch" in config  # as 'random'
                if not checked:
                    check_stage(stage, config, encoder)
            elif encoder not in ROWS and stage != "evaluate":
                resample = config.get("resample_patches", False)
                check_sizes(config.encoder, resolve_encoder(encoder), resample)


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


def check_encoder(encoder: str, names: Sequence[str] = ("random",)) -> None:
    """Raise UserError unless `encoder` is one of `names`, published, a run's or a checkpoint.

    A published one is downloaded if it is not in the cache. What was taken off around the weights
    of a checkpoint is told in the log.
    """
    if encoder in names:
        return
    check_name(encoder)
    with checking(f"the look at the encoder '{encoder}'"):
        check_file(encoder, resolve_encoder(encoder), names)


def check_file(encoder: str, path: str, names: Sequence[str]) -> None:
    """Raise UserError unless an encoder's file is there and holds weights."""
    if not Path(path).is_file():
        raise UserError(
            f"no encoder at '{encoder}'{suggest(encoder, names)}, timm:<model>, runs:/<id>, or "
            "the path of a checkpoint"
        )
    for note in read_layout(path).notes:
        log.warning(f"{encoder}: {note}")
