"""Pretraining that goes on from weights that exist, in place of random ones."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mae_core.checkpoints import NOT_ENCODER, LoadReport, load_weights, load_whole, read_layout
from mae_core.describe import decoder_fields
from mae_core.engine.optim import encoder_in, groups_of
from mae_core.errors import UserError, check_fields
from mae_core.for_encoder import with_encoder
from mae_core.methods import Method
from mae_core.methods.mae import MAE
from mae_core.methods.registry import METHODS
from mae_core.names import has_file
from mae_core.pixels import tell
from mae_core.reading import read_metadata
from mae_core.stage import Reporter


@dataclass(frozen=True)
class Continued:
    """How what was trained already joins in; the section `continued` of a config.

    Attributes:
        warmup_updates: updates of the weights during which the encoder rests, and only what is new
            beside it is trained.
        encoder_lr_mult: the encoder's learning rate as a multiple of the others'.
    """

    warmup_updates: int = 0
    encoder_lr_mult: float = 1.0


def continued_of(config: Mapping[str, Any], encoder: str) -> Continued:
    """The section `continued` of a pretraining's config; as without it where that is missing.

    Raises:
        UserError: for values out of range, or any if there is nothing to go on from.
    """
    given = config.get("continued") or {}
    if not isinstance(given, Mapping):
        raise UserError(f"continued={given!r}: expected a dict, such as dict(warmup_updates=100)")
    given = dict(given)
    check_fields(given, tuple(Continued.__dataclass_fields__), "section `continued`")
    found = Continued(**given)
    updates, factor = found.warmup_updates, found.encoder_lr_mult
    if isinstance(updates, bool) or not isinstance(updates, int) or updates < 0:
        raise UserError(f"continued.warmup_updates={updates!r}: expected a whole number from 0 on")
    number = isinstance(factor, int | float) and not isinstance(factor, bool)
    if not number or not math.isfinite(factor) or factor <= 0:
        raise UserError(f"continued.encoder_lr_mult={factor!r}: expected a number above 0")
    if found != Continued() and not has_file(encoder):
        raise UserError(
            f"continued={given} is about weights to go on from, and this pretraining begins with "
            "random ones: name some with start or --encoder, or leave `continued` out"
        )
    constructor = config["optim_wrapper"].get("constructor")
    if found != Continued() and constructor:
        raise UserError(
            f"continued={given} and optim_wrapper.constructor={constructor} both say which weights "
            "have which rate: leave one of them out"
        )
    return found


def stored_fields(encoder: str, method: str) -> Mapping[str, Any] | None:
    """The fields of what a checkpoint holds of a method beside the encoder; None without any.

    A file of ours names them; a decoder in one of another project is that of a MAE.
    """
    if not has_file(encoder):
        return None
    _, state, _, about = read_layout(encoder)
    found = about.get(method)
    if isinstance(found, dict):
        return found
    if method == MAE.name and any(key.startswith("decoder.") for key in state):
        return decoder_fields(state)
    return None


def with_start(config: Config, encoder: str, reporter: Reporter | None = None) -> Config:
    """A pretraining's config as it counts for what it begins with; 'random' changes nothing.

    As :func:`mae_core.for_encoder.with_encoder`. If the checkpoint holds the rest of the method
    too, such as a decoder, the sizes of that count in the same way.
    """
    found = with_encoder(config, encoder, reporter)
    name = config.get("method", MAE.name)
    stored = stored_fields(encoder, name)
    if stored is None:
        return found
    given, sizes = found.get(name, {}), METHODS[name].sizes
    other = {k: stored[k] for k in sizes if k in stored and stored[k] != given.get(k)}
    if other:
        found = copy.deepcopy(found)
        found[name] = {**given, **other}
        said = ", ".join(f"{key}={value} ({given.get(key)})" for key, value in other.items())
        tell(reporter, f"{encoder}: its sizes count, in place of the config's in brackets: {said}")
    for key, value in stored.items():
        if key not in sizes and key in given and given[key] != value:
            now = f"{name}.{key}={given[key]}"
            tell(reporter, f"{encoder} was trained with {key}={value}; the config's {now} counts")
    return found


def load_start(method: Method, encoder: str, reporter: Reporter) -> None:
    """Load what a checkpoint holds into a method that was built for it, and say what.

    Raises:
        UserError: if a weight is missing, has no place, or another shape.
    """
    if stored_fields(encoder, method.name) is None:
        report = load_whole(method.encoder, encoder)
        what = f"the encoder, and not what else {method.name} trains, which begins anew"
    else:
        report = load_method(method, encoder)
        what = f"all that {method.name} trains"
    fitted = f"; fitted to these images: {', '.join(report.resized)}" if report.resized else ""
    reporter.note(f"goes on from {encoder}: it holds {what}{fitted}")


def load_method(method: Method, path: str) -> LoadReport:
    """Load encoder and all else. Raises UserError as :func:`load_start`."""
    report = load_weights(method, path)
    if report.missing:
        missing = ", ".join(report.missing[:5])
        raise UserError(f"{path} lacks weights of its {method.name}: {missing}")
    if odd := [key for key in report.unexpected if not key.startswith(NOT_ENCODER)]:
        raise UserError(f"{path} has weights that {method.name} has not: {', '.join(odd[:5])}")
    return report


def inherited_licence(encoder: str) -> dict[str, str]:
    """`licence` for the metadata of what was trained from an encoder, if its file says one."""
    about = read_metadata(encoder) if has_file(encoder) else {}
    return {"licence": str(about["licence"])} if about.get("licence") else {}


def with_rate(config: Config, continued: Continued) -> Config:
    """The config with the encoder's weights in groups of their own, where they need them."""
    if continued == Continued():
        return config
    found = copy.deepcopy(config)
    groups = dict(found.optim_wrapper.get("paramwise_cfg") or {})
    found.optim_wrapper.constructor = "EncoderRateConstructor"
    found.optim_wrapper.paramwise_cfg = {**groups, "encoder_lr_mult": continued.encoder_lr_mult}
    return found


class RestHook(Hook):
    """Let the encoder rest for the first updates: as in evaluation, at rate 0.

    Its optimizer gathers statistics of its gradients meanwhile.

    Args:
        updates: how many.

    Raises:
        UserError: if the training has no more than that.
    """

    priority = "VERY_HIGH"  # rates are back before others look at them, or break off

    def __init__(self, updates: int) -> None:
        self.updates = updates
        self.held: list[tuple[dict[str, Any], float]] = []

    def before_train(self, runner: Runner) -> None:
        """Look at how long the training is."""
        total = runner.max_iters // runner.optim_wrapper._accumulative_counts
        if self.updates >= total:
            raise UserError(
                f"continued.warmup_updates={self.updates}: the training has {total} updates, so "
                "that the encoder would never be trained: choose fewer"
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the rate of this step."""
        resting = runner.iter // runner.optim_wrapper._accumulative_counts < self.updates
        encoder = encoder_in(runner.model)
        encoder.train(not resting)
        if not resting:
            return
        for group in groups_of(encoder, runner.optim_wrapper.param_groups):
            self.held.append((group, group["lr"]))
            group["lr"] = 0.0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Give the rates back: schedules and checkpoints know of no rest."""
        for group, rate in self.held:
            group["lr"] = rate
        self.held.clear()
