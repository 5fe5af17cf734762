"""A benchmark recipe: which encoders, which tasks, and each stage's config, all checked first."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mae_core.config import find_config, load_config
from mae_core.data.roots import DEMO
from mae_core.data.sources import check_data
from mae_core.errors import UserError, suggest
from pipelines.display import Display
from pipelines.identity import DATA_KEYS, data_roots, read_by
from pipelines.recipes.reproduce import config_of_run, stored
from pipelines.stages import makers, stages, tasks

KEYS: dict[str, tuple[type, ...]] = {
    "seed": (int,),
    "slots": (int,),
    "pretrain": (str,),
    "encoders": (list, tuple),
    "tasks": (dict,),
}
OPTIONAL: dict[str, tuple[type, ...]] = {
    "supervised": (str,),
    "repeats": (dict,),
    "retries": (int,),
}
ALL = "*"  # in place of a stage's name in an override


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        name: as in `configs/benchmarks/<name>.py`.
        encoders: the rows, in order: 'mae', 'random', 'supervised', or encoders by name.
        slots: how many stages run side by side.
        configs: by stage name, the config with overrides applied.
        repeats: by stage name, how many seeds it runs with; other tasks run once for each
            pretraining, see :meth:`runs_of`.
        retries: how often a stage whose process failed is tried again.
    """

    name: str
    encoders: tuple[str, ...]
    slots: int
    configs: dict[str, Config]
    repeats: dict[str, int]
    retries: int = 0

    @property
    def tasks(self) -> tuple[str, ...]:
        """The columns, in the recipe's order."""
        return tuple(stage for stage in self.configs if stage in tasks())

    def runs_of(self, stage: str) -> int:
        """How many runs of a stage a row has, each with another seed.

        A task that `repeats` does not name is run once for each training of an encoder.
        """
        if stage in makers():
            return self.repeats.get(stage, 1)
        return self.repeats.get(stage, max(self.repeats.get(make, 1) for make in makers()))

    @property
    def key(self) -> str:
        """Hash of everything in the recipe."""
        configs = {name: config.to_dict() for name, config in self.configs.items()}
        content = [self.encoders, configs, *([self.repeats] if self.repeats else [])]
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe and every config it names, and check them.

    Args:
        name: of a file under `configs/benchmarks`, or a path.
        overrides: `key=value` for the recipe, `<stage>.<key>=value` for a stage's config,
            `*.<key>=value` for those of all stages.

    Raises:
        UserError: for anything unknown or missing, before any stage runs.
    """
    of_recipe, of_stage = split_overrides(overrides)
    of_all = of_stage.pop(ALL, [])
    content = load_config(name, "benchmarks", of_recipe)
    check_content(content)
    names = {**first_stages(content), **content.tasks}
    for stage in of_stage:
        if stage not in names:
            raise UserError(f"this recipe has no stage '{stage}'{suggest(stage, names)}")
    configs = {
        stage: load_stage_config(stage, config, of_all + of_stage.get(stage, []), content.seed)
        for stage, config in names.items()
    }
    from pipelines.recipes.checks import check_recipe  # torch: what needs none was told by now

    check_recipe(content, configs)
    repeats = {stage: int(count) for stage, count in content.get("repeats", {}).items()}
    return Recipe(
        find_config(name, "benchmarks").stem,
        tuple(content.encoders),
        content.slots,
        configs,
        repeats,
        content.get("retries", 0),
    )


def choices(
    name: str, encoders: Sequence[str] | None, tasks: Sequence[str] | None, seed: int | None
) -> list[str]:
    """Overrides of a recipe that take other rows, a part of its columns, or another seed.

    Raises:
        UserError: if it has no such task.
    """
    found = [] if encoders is None else [f"encoders={list(encoders)}"]
    if seed is not None:
        found.append(f"seed={seed}")
    if tasks is not None:
        there = dict(load_config(name, "benchmarks").tasks)
        for task in tasks:
            if task not in there:
                raise UserError(f"this recipe has no task '{task}'{suggest(task, there)}")
        found.append(f"tasks={ {task: there[task] for task in there if task in tasks} }")
    return found


def first_stages(content: Config) -> dict[str, str]:
    """The config's name by stage, of those that make an encoder for a row.

    Raises:
        UserError: if a row needs one that the recipe does not name.
    """
    found = {"pretrain": content.pretrain} if "mae" in content.encoders else {}
    if "supervised" in content.encoders:
        if "supervised" not in content:
            raise UserError(
                f"{content.filename} has the row 'supervised', but no key `supervised`: name the "
                "config that trains it, under configs/supervise"
            )
        found["supervise"] = content.supervised
    return found


def split_overrides(overrides: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Overrides of the recipe itself, and by stage without the stage's name.

    Raises:
        UserError: if one begins with neither a key of a recipe nor a stage.
    """
    of_recipe: list[str] = []
    of_stage: dict[str, list[str]] = {}
    for override in overrides:
        key, equals, _ = override.partition("=")
        stage, dot, _ = key.partition(".")
        if dot and stage in (*stages(), ALL):
            of_stage.setdefault(stage, []).append(override.removeprefix(f"{stage}."))
        elif equals and stage not in {**KEYS, **OPTIONAL}:
            choices = suggest(stage, [*KEYS, *OPTIONAL, *stages()])
            raise UserError(f"override '{override}' is of neither recipe nor stage{choices}")
        else:
            of_recipe.append(override)
    return of_recipe, of_stage


def check_content(content: Config) -> None:
    """Raise UserError unless a recipe has all keys, each of the right kind, and known tasks."""
    for key in KEYS:
        if key not in content:
            raise UserError(f"{content.filename} has no '{key}': a recipe needs {', '.join(KEYS)}")
    for key, kinds in {**KEYS, **OPTIONAL}.items():
        if key in content and not isinstance(content[key], kinds):
            expected = kinds[0].__name__
            raise UserError(f"{key}={content[key]!r} in a recipe: expected {expected}")
    for stage, count in content.get("repeats", {}).items():
        known = stage in stages()  # a run may leave tasks out
        if not known or not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise UserError(
                f"repeats has {stage}={count!r}: expected a task, 'pretrain' or 'supervise', and "
                "how many runs"
            )
    if content.slots < 1:
        raise UserError(f"slots={content.slots}: at least one stage has to run at a time")
    names = list(content.encoders)
    if not names or any(not isinstance(n, str) or names.count(n) > 1 for n in names):
        raise UserError(f"encoders={names}: name at least one, and each once")
    for task, config in content.tasks.items():
        if task not in tasks():
            raise UserError(f"no task is called '{task}'{suggest(task, tasks())}")
        if not isinstance(config, str):
            raise UserError(f"task '{task}' has {config!r} where its config's name belongs")
    if "evaluate" in content.tasks and "finetune" not in content.tasks:
        raise UserError("task 'evaluate' takes what 'finetune' makes: the recipe needs both")


def load_stage_config(
    stage: str, name: str, overrides: Iterable[str] = (), seed: int | None = None
) -> Config:
    """The config of one stage, by its file's name or as a run keeps it, its data folders checked.

    Raises:
        UserError: if the config is for another stage, or as :func:`load_config`.
    """
    config = config_of_run(name, overrides) if stored(name) else load_config(name, "", overrides)
    if config.get("stage") != stage:
        raise UserError(
            f"{config.filename} is a config for '{config.get('stage')}', expected '{stage}'"
        )
    if seed is not None and not any(o.startswith("seed=") for o in overrides):
        config.seed = seed
    named = [override.partition("=")[0].partition(".")[0] for override in overrides]
    if "pixels" in named and "pixels_of" not in named and "pixels_of" in config:
        config.pixels_of = "config"  # who says which pixels means them for every encoder
    roots = data_roots(config)
    if any(Path(root).parts[:1] == (DEMO,) for root in roots):
        prepare_demo_visibly()
    for root in roots:
        try:
            check_data(root)
        except UserError as error:
            keys = " and ".join(keys_of(root, config))
            raise UserError(f"{error} (named by {keys} in {config.filename})") from error
        except (OSError, ValueError) as error:  # no name that a file can have
            keys = " and ".join(keys_of(root, config))
            raise UserError(f"{keys}={root!r} cannot be a path: {error}") from error
    return config


def keys_of(root: str, config: Config) -> list[str]:
    """The keys that name the data `root`, such as 'train_data.data'."""
    named = read_by(config.to_dict())
    return [place for place, key, value in named if key in DATA_KEYS and value == root]


def prepare_demo_visibly() -> None:
    """Prepare the demo's data, with progress where there is something to do."""
    from mae_core.data.demo import prepare_demo

    with Display() as display:

        def show(done: int, total: int) -> None:
            if done == 1:
                display.say("demo data: composing it from Fashion-MNIST, once")
            display.update("demo data", done, total, "picture", {})

        prepare_demo(progress=show)
