"""Stored weights of a model of timm fitted to images of another size or with other channels."""

import sys
from collections.abc import Sequence
from typing import Any

from timm.models import adapt_input_conv, get_model_traits
from torch import Tensor

from mae_core.errors import UserError
from mae_core.fitting import spread_rgb


def fit_input(
    model: Any,
    weights: dict[str, Tensor],
    stored: int,
    rgb_places: Sequence[int] | None = None,
) -> list[str]:
    """Fit the first convolutions to the model's channels in place, as timm does.

    Args:
        model: of timm.
        weights: by its names.
        stored: channels of the images that they were trained on.
        rgb_places: channels, from 0, that weights for RGB are spread to, see
            :func:`mae_core.fitting.spread_rgb`.

    Returns:
        The names of what was changed.

    Raises:
        UserError: if that is not known of the architecture.
    """
    traits, own, changed = get_model_traits(model), model.state_dict(), []
    first = traits.get("first_conv") or ()
    for name in (first,) if isinstance(first, str) else first:
        key = f"{name}.weight"
        if key not in weights or key not in own or weights[key].shape[1:2] == own[key].shape[1:2]:
            continue
        if rgb_places is not None and stored == 3:
            weights[key] = spread_rgb(weights[key], traits["in_chans"], rgb_places)
            changed.append(key)
            continue
        try:
            weights[key] = adapt_input_conv(traits["in_chans"], weights[key], stored)
        except (NotImplementedError, AssertionError) as error:
            raise UserError(
                f"'{key}' is of {stored} channels, and timm does not know how to make "
                f"{traits['in_chans']} of them: take in_chans={stored}"
            ) from error
        changed.append(key)
    return changed


def fit_size(model: Any, weights: dict[str, Tensor], stored: Sequence[int] | None) -> list[str]:
    """Fit positions to the model's image size in place, as timm's `checkpoint_filter_fn` does.

    Args:
        model: of timm.
        weights: by its names.
        stored: height and width of the images that they were trained on, if that is known.

    Returns:
        The names of what was changed. What timm does not fit keeps its shape.

    Raises:
        UserError: if timm cannot, as tables of relative positions of a grid that was not square.
    """
    own = model.state_dict()
    odd = [key for key, value in weights.items() if key in own and value.shape != own[key].shape]
    size = get_model_traits(model).get("img_size")
    if stored is not None and size is not None and tuple(stored) != tuple(size):
        odd += [key for key in weights if key.endswith("pos_embed") and key not in odd]
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if not odd or convert is None:
        return []
    if stored is not None:
        # From here timm takes the old grid; without it one of as many tokens in a square.
        model.pretrained_model_args = {"img_size": tuple(stored)}
    try:
        found = convert(dict(weights), model)
    except (AssertionError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"weights for images of another size do not fit: {error}") from error
    finally:
        model.pretrained_model_args = {}
    changed = []
    for key in odd:
        if key in found and found[key].shape == own[key].shape and found[key] is not weights[key]:
            weights[key] = found[key]
            changed.append(key)
    return changed
