"""What a sweep varies, and the recipe of each of its trials."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from mmengine.config import Config
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from mae_core.config import apply_overrides, find_config, load_config
from mae_core.errors import UserError, suggest
from pipelines.recipes.recipe import Recipe, choices, load_content, load_recipe
from pipelines.report.names import lower_is_better
from pipelines.stages import card_of
from pipelines.tracking.encoders import Lookup

KEYS: dict[str, tuple[type, ...]] = {"recipe": (str,), "goal": (str,), "parameters": (dict,)}
OPTIONAL: dict[str, tuple[type, ...]] = {
    "overrides": (list, tuple),
    "tasks": (list, tuple),
    "sampler": (str,),
    "trials": (int,),
    "pruning": (dict,),
    "select_on": (dict,),
}
SAMPLERS = ("grid", "tpe")
RANGE = ("low", "high", "step", "log")
Values = dict[str, Any]  # of a trial, by the parameter's key


@dataclass(frozen=True)
class Pruning:
    """Successive halving (Li et al. 2018, arXiv 1810.05934): when a trial is stopped early.

    Attributes:
        metric: of the trial's first training, as logged while it runs.
        first: share of the training after which trials are compared for the first time, then at
            that share over `keep`, and so on.
        keep: share of the trials that goes on at each comparison.
    """

    metric: str
    first: float = 0.25
    keep: float = 0.5

    def __post_init__(self) -> None:
        for name, most in (("first", 1.0), ("keep", 0.5)):
            if not 0.01 <= (share := getattr(self, name)) <= most:
                raise UserError(f"pruning has {name}={share}: expected a share, 0.01 to {most}")


@dataclass(frozen=True)
class Sweep:
    """A checked sweep.

    Attributes:
        name: as in `configs/sweeps/<name>.py`.
        recipe: name or path of the benchmark's recipe.
        overrides: of the recipe, the same in all trials.
        selecting: overrides that have trials tested on other images than those of the recipe, on
            which the winner is reported; empty if they are the same.
        goal: the metric that decides, of the recipe's first encoder.
        space: what each parameter may be, by the key that it overrides.
        sampler: one of :data:`SAMPLERS`.
        trials: how many there are to be.
        pruning: when trials end early, None for never.
        base: the recipe of trials with all parameters as its configs have them.
        lookup: where encoders of MLflow are; all trials have the same ones.
    """

    name: str
    recipe: str
    overrides: tuple[str, ...]
    selecting: tuple[str, ...]
    goal: str
    space: dict[str, BaseDistribution]
    sampler: str
    trials: int
    pruning: Pruning | None
    base: Recipe
    lookup: Lookup

    @property
    def lower_is_better(self) -> bool:
        """Whether the goal is to be small."""
        return lower_is_better(self.goal)

    @property
    def watched(self) -> str:
        """The metric that pruning looks at, '' without pruning."""
        return self.pruning.metric if self.pruning else ""

    @property
    def sign(self) -> int:
        """-1 if the watched metric is better where the goal is worse, else 1."""
        watched = self.watched.removeprefix("val/")
        falls = "loss" in watched or lower_is_better(watched)
        return 1 if falls == self.lower_is_better else -1

    @property
    def key(self) -> str:
        """Hash of what makes trials comparable; there may always be more of them."""
        space = {} if self.sampler == "grid" else self.space
        parts = [distribution_to_json(one) for one in space.values()]
        content = [self.base.key, sorted(self.space), parts, self.goal, str(self.pruning)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def recipe_of(self, values: Values) -> Recipe:
        """The recipe of a trial. Raises UserError if it cannot be run so."""
        changes = [*self.overrides, *self.selecting, *overrides_of(values)]
        return load_recipe(self.recipe, changes, self.lookup)

    def reported_recipe_of(self, values: Values) -> Recipe:
        """The same, tested on the recipe's own images. Raises UserError as :meth:`recipe_of`."""
        return load_recipe(self.recipe, [*self.overrides, *overrides_of(values)], self.lookup)

    def label(self, values: Values) -> str:
        """Such as 'mask_ratio=0.75, patch_size=8'."""
        names = short_names(list(values))
        return ", ".join(f"{names[key]}={text(value)}" for key, value in values.items())

    def grid(self) -> list[Values]:
        """Every combination of the values, in the config's order; empty for other samplers."""
        if self.sampler != "grid":
            return []
        return [dict(zip(self.space, point, strict=True)) for point in product(*lists(self.space))]


def load_sweep(name: str, overrides: Iterable[str] = (), lookup: Lookup | None = None) -> Sweep:
    """Read a sweep, its recipe and, for a grid, the recipe of every trial, and check them.

    Args:
        name: of a file under `configs/sweeps`, or a path.
        overrides: `key=value` for the sweep, for the recipe, or `<stage>.<key>=value`.
        lookup: where encoders of MLflow are; in that of the environment without it.

    Raises:
        UserError: for anything unknown or missing, before any trial runs.
    """
    given, lookup = list(overrides), lookup or Lookup()
    own = [one for one in given if one.partition("=")[0].partition(".")[0] in {**KEYS, **OPTIONAL}]
    content = load_config(name, "sweeps")
    apply_overrides(content, own)
    check_content(content)
    of_recipe = [*(content.get("overrides") or ()), *(one for one in given if one not in own)]
    first = next(iter(load_content(content.recipe, only_encoders(of_recipe)).encoders))
    chosen = choices(content.recipe, [first], content.get("tasks"), None)
    fixed = (*of_recipe, *chosen)
    reported = load_recipe(content.recipe, fixed, lookup)
    check_goal(content.goal, reported)
    check_choice(content)
    selecting = tuple(overrides_of(content.to_dict().get("select_on") or {}))
    trials = [*fixed, *selecting]
    base = load_recipe(content.recipe, trials, lookup) if selecting else reported
    pruning = pruning_of(content.get("pruning"))
    if selecting:
        from pipelines.sweep.held_out import check_held_out  # torch

        check_held_out(content.goal, base, reported, pruned=pruning is not None)
    space = {key: distribution(key, value) for key, value in content.parameters.items()}
    sweep = Sweep(
        name=find_config(name, "sweeps").stem,
        recipe=content.recipe,
        overrides=fixed,
        selecting=selecting,
        goal=content.goal,
        space=space,
        sampler=content.get("sampler", SAMPLERS[0]),
        trials=count(content, space),
        pruning=pruning,
        base=base,
        lookup=lookup,
    )
    for values in sweep.grid():
        sweep.recipe_of(values)
    return sweep


def check_content(content: Config) -> None:
    """Raise UserError unless a sweep has all keys, each of the right kind."""
    known = {**KEYS, **OPTIONAL}
    for key in content:
        if key not in known and not key.startswith("_"):
            raise UserError(f"{content.filename}: a sweep has no key '{key}'{suggest(key, known)}")
    for key, kinds in known.items():
        value = content.get(key)
        if value is None and key in KEYS:
            raise UserError(f"{content.filename} has no '{key}': a sweep needs {', '.join(KEYS)}")
        if value is not None and not isinstance(value, kinds):
            raise UserError(f"{key}={value!r} in a sweep: expected {kinds[0].__name__}")
    sampler = content.get("sampler", SAMPLERS[0])
    if sampler not in SAMPLERS:
        raise UserError(f"no sampler is called '{sampler}'{suggest(sampler, SAMPLERS)}")
    if not content.parameters:
        raise UserError(f"{content.filename} has no parameters: there is nothing to vary")


def check_goal(goal: str, recipe: Recipe) -> None:
    """Raise UserError unless one of the recipe's stages may have the metric."""
    task = goal.partition("/")[0]
    measured = {card_of(name.partition("[")[0]).prefix for name in recipe.configs}
    if task not in measured or "/" not in goal:
        examples = ", ".join(f"{name}/..." for name in sorted(measured))
        raise UserError(f"goal='{goal}' is no metric of this recipe's stages: expected {examples}")


def check_choice(content: Config) -> None:
    """Raise UserError unless the sweep says on which images its trials are compared.

    On the images that are reported only a fixed list of trials may be: those of a search that
    follows their results have no interval that is known to hold.
    """
    select_on = content.get("select_on")
    if content.goal.startswith("pretrain/"):
        if select_on:
            raise UserError(f"goal='{content.goal}' is of the images trained on: no select_on here")
    elif select_on is None:
        raise UserError(
            f"{content.filename} has no 'select_on': name images that choose among the trials, "
            "such as {'knn.val_data.data': 'data/val'}, so that the winner is reported on the "
            "recipe's own; or {} to choose on those too, with a wider interval (docs/sweeps.md)"
        )
    elif not select_on and content.get("sampler") == "tpe":
        raise UserError(
            "select_on={} with sampler=tpe: trials that follow their results on the reported "
            "images leave no interval that holds; name other images in select_on"
        )


def count(content: Config, space: Mapping[str, BaseDistribution]) -> int:
    """How many trials there are to be. Raises UserError if the sampler does not fit."""
    trials = content.get("trials")
    if content.get("sampler", SAMPLERS[0]) == "grid":
        ranges = [k for k, one in space.items() if not isinstance(one, CategoricalDistribution)]
        if ranges:
            raise UserError(f"'{ranges[0]}' is a range: a grid needs a list; or sampler=tpe")
        if trials is not None:
            raise UserError("trials are for sampler=tpe: a grid has all combinations")
        return prod(map(len, lists(space)))
    if trials is None or trials < 1:
        raise UserError(f"trials={trials}: sampler=tpe needs how many there are to be")
    return int(trials)


def lists(space: Mapping[str, BaseDistribution]) -> list[tuple[Any, ...]]:
    """The values of the parameters that have a list of them."""
    return [one.choices for one in space.values() if isinstance(one, CategoricalDistribution)]


def pruning_of(value: Mapping[str, Any] | None) -> Pruning | None:
    """The config's pruning, None if it is empty. Raises UserError for unknown keys."""
    if not value:
        return None
    known = ("metric", "first", "keep")
    for key in value:
        if key not in known:
            raise UserError(f"pruning has no key '{key}'{suggest(key, known)}")
    if "metric" not in value:
        raise UserError("pruning needs a metric, such as 'loss' or 'val/knn/top1'")
    return Pruning(**value)


def distribution(key: str, value: Any) -> BaseDistribution:
    """What a parameter may be: a list's values, or numbers from `low` to `high`.

    Raises:
        UserError: if `value` is neither.
    """
    if isinstance(value, list | tuple):
        if not value or len({repr(one) for one in value}) < len(value):
            raise UserError(f"parameter '{key}' has {value}: name values, and each once")
        if odd := [one for one in value if not isinstance(one, int | float | str | None)]:
            raise UserError(f"parameter '{key}' has {odd[0]}: expected a number, text or None")
        return CategoricalDistribution(tuple(value))
    if not isinstance(value, dict) or not {"low", "high"} <= {*value} <= {*RANGE}:
        raise UserError(
            f"parameter '{key}' has {value!r}: expected a list of values, or "
            "dict(low=..., high=...), with step=... or log=True"
        )
    whole = all(isinstance(value.get(end, 0), int) for end in RANGE[:3])
    kind = IntDistribution if whole else FloatDistribution
    try:
        return kind(**value)
    except (TypeError, ValueError) as error:
        raise UserError(f"parameter '{key}' has {value}: {error}") from error


def overrides_of(values: Values) -> list[str]:
    """A trial's values as overrides of the recipe."""
    return [f"{key}={value!r}" for key, value in values.items()]


def only_encoders(overrides: Sequence[str]) -> list[str]:
    """Those overrides that choose the rows."""
    return [one for one in overrides if one.startswith(("encoders=", "encoders."))]


def text(value: Any) -> str:
    """A value as people read it: numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key; all parts, without '*', where two would be the same."""
    last = [key.rpartition(".")[2] for key in keys]
    return {
        key: name if last.count(name) == 1 else key.removeprefix("*.")
        for key, name in zip(keys, last, strict=True)
    }
