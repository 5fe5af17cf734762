"""What the sections of a training's config may hold, such as `optim_wrapper` and `default_hooks`.

mmengine builds most of them when the training begins, and passes over what is wrong in the rest.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import (
    DATA_SAMPLERS,
    FUNCTIONS,
    HOOKS,
    LOOPS,
    METRICS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    Registry,
)
from mmengine.utils.dl_utils import set_multi_processing
from torch.utils.data import DataLoader

from mae_core.data import images, sampler  # noqa: F401  both register
from mae_core.engine import amp, hooks, lamb, loop, optim, step_checkpoints  # noqa: F401  register
from mae_core.engine.finite import DivergenceHook
from mae_core.engine.schedule import warmup_cosine
from mae_core.errors import UserError, suggest

LOADERS = ("train_dataloader", "val_dataloader")
OF_LOADER = ("dataset", "sampler", "batch_sampler", "collate_fn")  # which the Runner builds
PARAMWISE = (
    *("custom_keys", "bypass_duplicate", "bias_lr_mult", "bias_decay_mult", "norm_decay_mult"),
    *("flat_decay_mult", "dwconv_decay_mult", "dcn_offset_lr_mult"),  # mmengine's
    *("layer_decay", "decay_vectors", "encoder_lr_mult"),  # see mae_core.engine.optim
)
ENVIRONMENT = ("cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit")


class Section(NamedTuple):
    """A dict in a config.

    Attributes:
        place: where it stands.
        fields: what it holds.
        known: the keys that it may have; any if that is None.
        nothing: what its `type` should name, and does not.
    """

    place: str
    fields: Mapping[str, Any]
    known: Collection[str] | None
    nothing: str = ""


def check_sections(config: Config) -> None:
    """Raise UserError, with all faults, for what a training would refuse late, or pass over.

    Args:
        config: of a stage, of which nothing is built; with a section `scratch` also what that makes
            of it. What `type` names has to be registered, else its fields are not looked at.
    """
    found = [*faults(config)]
    if "scratch" in config:
        merged = Config(config.to_dict())
        merged.merge_from_dict(config.scratch.to_dict())
        found += faults(merged)
    if found:
        raise UserError("; ".join(dict.fromkeys(found)))


def faults(config: Config) -> Iterator[str]:
    """What is wrong, one sentence each."""
    content = config.to_dict()
    if content.get("schedule") is not None and content.get("param_scheduler") is not None:
        yield "schedule and param_scheduler both say how the rate goes: leave one of them out"
    for place, fields, known, nothing in sections(content):
        if not isinstance(fields, Mapping):
            yield f"{place}={fields!r}: expected a dict"
            continue
        named = fields.get("constructor") if place == "optim_wrapper" else None
        if named and OPTIM_WRAPPER_CONSTRUCTORS.get(named) is None:
            yield f"{place}.constructor={named!r}: there is no such constructor"
        if nothing and content.get("default_scope") == "mmengine":  # others are not imported yet
            yield f"{place}.type={fields['type']!r}: there is no such {nothing}"
        for key in fields:
            if known is not None and key not in known:
                yield f"{place} has no field '{key}'{suggest(str(key), known)}"


def sections(config: Mapping[str, Any]) -> Iterator[Section]:
    """The sections that are there, each with what it may hold."""
    plain: dict[str, Collection[str]] = {
        "env_cfg": ENVIRONMENT,
        "env_cfg.mp_cfg": arguments(set_multi_processing, "distributed") or (),
        "auto_scale_lr": ("enable", "base_batch_size"),
        "schedule": arguments(warmup_cosine, "max_epochs") or (),
        "divergence": arguments(DivergenceHook, "reporter") or (),
        "optim_wrapper.paramwise_cfg": PARAMWISE,
    }
    for place, known in plain.items():
        yield from there(config, place, known)
    of_loader = {*(arguments(DataLoader, "worker_init_fn") or ()), *OF_LOADER}
    for loader in LOADERS:
        yield from there(config, loader, of_loader)
        yield from typed(config, f"{loader}.sampler", DATA_SAMPLERS, given=("dataset",))
        yield from typed(config, f"{loader}.collate_fn", FUNCTIONS, given=("batch", "items"))
    wrapper = ("constructor", "paramwise_cfg")
    usual = "FiniteOptimWrapper"
    counted = ("accumulative_counts",)  # follows from effective_batch
    yield from typed(config, "optim_wrapper", OPTIM_WRAPPERS, wrapper, counted, usual)
    yield from typed(config, "optim_wrapper.optimizer", OPTIMIZERS, given=("params",))
    loops = ("runner", "dataloader")
    by_epoch = (config.get("train_cfg") or {}).get("by_epoch")
    usual = "ResumableTrainLoop" if by_epoch else ""
    yield from typed(config, "train_cfg", LOOPS, ("by_epoch",), loops, usual)
    yield from typed(config, "val_cfg", LOOPS, given=(*loops, "evaluator"), usual="ValLoop")
    yield from typed(config, "val_evaluator", METRICS)
    for name in config.get("default_hooks") or ():
        yield from typed(config, f"default_hooks.{name}", HOOKS)
    for number, hook in enumerate(config.get("custom_hooks") or ()):
        yield from typed({"custom_hooks": {f"{number}": hook}}, f"custom_hooks.{number}", HOOKS)


def there(
    config: Mapping[str, Any], place: str, known: Collection[str] | None
) -> Iterator[Section]:
    """The section at a place, if there is one."""
    node: Any = config
    for key in place.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    if node is not None and not isinstance(node, list):
        yield Section(place, node, known)


def typed(
    config: Mapping[str, Any],
    place: str,
    registry: Registry,
    more: Collection[str] = (),
    given: Collection[str] = (),
    usual: str = "",
) -> Iterator[Section]:
    """A section from which `registry` builds what its `type` names.

    Args:
        config: the whole.
        place: of the section.
        registry: of mmengine.
        more: fields beside the arguments of what is built.
        given: arguments that the config does not give.
        usual: the type without `type`.
    """
    for _, fields, _, _ in there(config, place, None):
        name = fields.get("type", usual) if isinstance(fields, Mapping) else ""
        named = isinstance(name, str) and name and "." not in name
        kind = registry.get(name) if named else None
        known = None if kind is None else arguments(kind, *given)
        nothing = registry.name if named and kind is None else ""
        yield Section(place, fields, None if known is None else {"type", *known, *more}, nothing)


def arguments(of: Callable[..., Any], *given: str) -> set[str] | None:
    """The names that a function or class takes but for those `given`; None if it takes any.

    What a class hands on as `**fields` is that of its bases.
    """
    found: set[str] = set()
    any_more = False
    for owner in inspect.getmro(of) if inspect.isclass(of) else (of,):
        if owner is object or (inspect.isclass(owner) and "__init__" not in vars(owner)):
            continue
        parameters = inspect.signature(owner).parameters.values()
        for one in parameters:
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
                found.add(one.name)
        any_more = any(one.kind is one.VAR_KEYWORD for one in parameters)
        if not any_more:
            break
    return None if any_more else found - set(given)
