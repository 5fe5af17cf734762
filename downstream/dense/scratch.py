"""The recipe for an encoder that begins with random weights."""

import copy

from mmengine.config import Config

RANDOM = "random"
TRAINING = ("optim_wrapper", "train_cfg", "param_scheduler", "schedule", "updates")


def recipe_for(config: Config, encoder: str) -> Config:
    """A stage's config as it counts for an encoder, without the section `scratch`.

    For 'random' that section, where there is one, is merged: what suits pretrained weights, such as
    lower rates for lower layers, holds random ones back. `config` stays as it is.
    """
    resolved = copy.deepcopy(config)
    scratch = resolved.pop("scratch", None)
    if encoder == RANDOM and scratch is not None:
        resolved.merge_from_dict(scratch.to_dict())
    return resolved


def recipes(config: Config, encoder: str) -> list[Config]:
    """Those that a check has to try without training: the encoder's own, and before it the other.

    'random' may stand in for an encoder that is not there yet. Where the recipes differ only in how
    they train, one is enough.
    """
    found = [recipe_for(config, name) for name in ("", encoder)]
    plain, own = (
        {key: value for key, value in recipe.to_dict().items() if key not in TRAINING}
        for recipe in found
    )
    return found[plain == own :]
