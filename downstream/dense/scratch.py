"""The recipe for an encoder that begins with random weights."""

import copy

from mmengine.config import Config

RANDOM = "random"


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
    """Those that a check has to try: for 'random', which may stand in for another encoder, both."""
    found = [recipe_for(config, name) for name in ("", encoder)]
    return found[found[0].to_dict() == found[1].to_dict() :]
