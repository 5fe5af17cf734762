"""What kind of value may stand under a key of a config: a wrong one is told, not tripped over."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mmengine.config import Config

from mae_core.errors import UserError


class Kind(NamedTuple):
    """A kind of value: what messages call it, and whether a value is of it."""

    said: str
    holds: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Whether it is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(least: int) -> Kind:
    """Whole numbers of at least `least`."""
    said = f"a whole number of at least {least}"
    return Kind(said, lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= least)


def maybe(kind: Kind) -> Kind:
    """The same, or None."""
    return Kind(f"{kind.said}, or None", lambda v: v is None or kind.holds(v))


def list_of(kind: Kind, least: int = 0) -> Kind:
    """Lists with at least so many entries, each of a kind."""
    said = "a list" if not least else f"a list of {least} or more"
    return Kind(
        f"{said}, each {kind.said}",
        lambda v: isinstance(v, list | tuple) and len(v) >= least and all(map(kind.holds, v)),
    )


ABOVE_0 = Kind("a number above 0", lambda v: is_number(v) and v > 0)
FROM_0 = Kind("a number from 0 on", lambda v: is_number(v) and v >= 0)
SHARE = Kind("a number above 0 and below 1", lambda v: is_number(v) and 0 < v < 1)
UP_TO_1 = Kind("a number from 0 to 1", lambda v: is_number(v) and 0 <= v <= 1)
TEXT = Kind("text", lambda v: isinstance(v, str) and v != "")
FLAG = Kind("True or False", lambda v: isinstance(v, bool))
DICT = Kind("a dict", lambda v: isinstance(v, Mapping))
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
Kinds = Mapping[str, Kind]  # by keys, with dots

TRANSFORM: Kinds = {"crop_pct": maybe(ABOVE_0), "hflip": UP_TO_1}
IMAGES: Kinds = {
    "transform": DICT,
    **{f"transform.{key}": kind for key, kind in TRANSFORM.items()},
    "names_in": maybe(TEXT),
    "per_class": maybe(whole(1)),
    "per_class_seed": maybe(whole(0)),
    "seed": whole(0),
    "in_chans": maybe(whole(1)),
    "bands": maybe(Kind("'all' or a list", lambda v: v == "all" or isinstance(v, list | tuple))),
}
SETS = ("train_data", "val_data", "preview", *(f"{s}_dataloader.dataset" for s in ("train", "val")))
EVERY: Kinds = {
    "stage": TEXT,
    "seed": whole(0),
    "devices": whole(1),
    "encoder": DICT,
    "encoder.arch": TEXT,
    "pixels": DICT,
    "train_data": maybe(DICT),
    "val_data": maybe(DICT),
    "preview": DICT,
    "transform": DICT,
    "sets": list_of(DICT, 1),
    "datasets": list_of(DICT, 1),
    "held_out": maybe(SHARE),
    "scratch": DICT,
    "train_dataloader": DICT,
    "train_dataloader.dataset": DICT,
    "val_dataloader": DICT,
    "val_dataloader.dataset": DICT,
    "train_cfg": DICT,
    "optim_wrapper": DICT,
    "optim_wrapper.optimizer": DICT,
    "optim_wrapper.optimizer.lr": ABOVE_0,
    "schedule": maybe(DICT),
    "schedule.warmup_epochs": FROM_0,
    "auto_scale_lr": maybe(DICT),
    "auto_scale_lr.enable": FLAG,
    "auto_scale_lr.base_batch_size": whole(1),
    "ema": maybe(SHARE),
    "sharded": FLAG,
    "max_unreadable": UP_TO_1,
    "activation_checkpointing": maybe(list_of(TEXT)),
    "custom_hooks": list_of(DICT),
    "log_level": Kind("one of " + ", ".join(LEVELS), LEVELS.__contains__),
}  # where they stand, they mean the same in each stage


def check_kinds(config: Config, kinds: Kinds = EVERY) -> None:
    """Raise UserError, with all faults, for values that are of no kind that their keys take.

    Args:
        config: of a stage.
        kinds: of keys that need not be there; beside them those of sets of images.
    """
    content = config.to_dict()
    found = [*wrong(content, kinds)]
    for place in SETS:
        found += wrong(content, {f"{place}.{key}": kind for key, kind in IMAGES.items()})
    for entry in content.get("sets") or () if not found else ():
        found += (f"sets: {one}" for one in wrong(entry, IMAGES))
    if found:
        raise UserError("; ".join(found))


def wrong(content: Mapping[str, Any], kinds: Kinds) -> Iterator[str]:
    """What is of another kind, one sentence each."""
    for place, kind in kinds.items():
        *parents, last = place.split(".")
        node: Any = content
        for key in parents:
            node = node.get(key) if isinstance(node, Mapping) else None
        if isinstance(node, Mapping) and last in node and not kind.holds(node[last]):
            yield f"{place}={node[last]!r}: expected {kind.said}"
