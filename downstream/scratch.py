"""The recipe for an encoder that begins with random weights."""

import copy
from typing import Any

from mmengine.config import Config

from mae_core.errors import UserError
from mae_core.names import has_file

RANDOM = "random"
SUPERVISED = "supervised"  # in an encoder's place: random weights, and a recipe for them
TRAINING = ("optim_wrapper", "train_cfg", "param_scheduler", "schedule", "updates")
WHOLE = ("finetune", "low-shot", "detect", "segment")  # stages that train all weights


def recipe_for(config: Config, encoder: str) -> Config:
    """A stage's config as it counts for an encoder, without the section `scratch`.

    For 'supervised', and for other random weights in a stage that trains them all, that section is
    merged if there is one: what suits pretrained weights, such as lower rates for lower layers and
    few epochs, holds random ones back. `config` stays as it is.

    Raises:
        UserError: if the encoder is 'supervised' and there is no such section.
    """
    resolved = copy.deepcopy(config)
    scratch = resolved.pop("scratch", None)
    if encoder == SUPERVISED and scratch is None:
        raise UserError(
            f"encoder 'supervised' trains from scratch, for which {config.filename} has no section "
            "`scratch` with the rate, epochs and augmentation to use"
        )
    drawn = bool(encoder) and not has_file(encoder)
    from_scratch = encoder == SUPERVISED or (drawn and config.stage in WHOLE)
    if from_scratch and scratch is not None:
        resolved.merge_from_dict(scratch.to_dict())
    return resolved


def weights_of(encoder: str) -> str:
    """What an encoder is built from: a name without a file, or a checkpoint's path."""
    return RANDOM if encoder == SUPERVISED else encoder


def recipes(config: Config, encoder: str) -> list[Config]:
    """Those that a check has to try without training: the encoder's own, and before it the other.

    'random' may stand in for an encoder that is not there yet. Where the recipes differ only in how
    they train, one is enough.
    """
    own, other = recipe_for(config, encoder), recipe_for(config, "")
    if encoder != RANDOM or untrained(own) == untrained(other):
        return [own]
    return [other, own]


def untrained(recipe: Config) -> dict[str, Any]:
    """A config without what says how to train."""
    return {key: value for key, value in recipe.to_dict().items() if key not in TRAINING}
