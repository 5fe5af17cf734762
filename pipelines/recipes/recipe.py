"""A benchmark recipe: which encoders, which tasks, and each stage's config, all checked first."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mae_core.config import apply_overrides, find_config, load_config
from mae_core.data.roots import DEMO
from mae_core.data.sources import check_data
from mae_core.errors import UserError, suggest
from pipelines.cells.cell import cell_name
from pipelines.display import Display
from pipelines.identity import DATA_KEYS, data_roots, read_by
from pipelines.recipes.reproduce import config_of_run, stored
from pipelines.recipes.rows import Row, asked_rows, chosen_rows
from pipelines.stages import card_of, check_overridden, makers, makes_classifier, stages, tasks
from pipelines.tracking.encoders import Lookup

KEYS: dict[str, tuple[type, ...]] = {
    "seed": (int,),
    "slots": (int,),
    "encoders": (list, tuple, dict),
    "tasks": (dict,),
}
OPTIONAL: dict[str, tuple[type, ...]] = {
    "pretrain": (str,),
    "supervised": (str,),
    "repeats": (dict,),
    "retries": (int,),
}
ALL = "*"  # in place of a stage's name in an override
Call = tuple[str, tuple[str, ...]]  # a recipe's name and overrides
_handed: ContextVar[tuple[Call, "Recipe"] | None] = ContextVar("handed", default=None)


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        name: as in `configs/benchmarks/<name>.py`.
        rows: the encoders, in order.
        slots: how many stages run side by side.
        columns: by task, its config with overrides applied, in the recipe's order.
        repeats: by stage name, how many seeds it runs with; other tasks run once for each
            pretraining, see :meth:`runs_of`.
        retries: how often a stage whose process failed is tried again.
        left_out: why a row has no result of a task, by the names of task and row.
    """

    name: str
    rows: tuple[Row, ...]
    slots: int
    columns: dict[str, Config]
    repeats: dict[str, int]
    retries: int = 0
    left_out: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def encoders(self) -> tuple[str, ...]:
        """The names of the rows."""
        return tuple(row.name for row in self.rows)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.columns)

    @property
    def makers(self) -> tuple[tuple[Row, Config], ...]:
        """The rows that the benchmark makes, stage by stage, each with the config for that."""
        found = []
        for stage in makers():
            found += [(row, row.config) for row in self.rows if row.made_by == stage and row.config]
        return tuple(found)

    @property
    def configs(self) -> dict[str, Config]:
        """All configs by stage; by 'pretrain[raw]' where several rows are made by one stage."""
        made_by = [row.made_by for row, _ in self.makers]
        found = {}
        for row, config in self.makers:
            alone = made_by.count(row.made_by) == 1
            found[row.made_by if alone else cell_name(row.made_by, row.name)] = config
        return {**found, **self.columns}

    def runs_of(self, stage: str) -> int:
        """How many runs of a stage a row has, each with another seed.

        A task that `repeats` does not name is run once for each training of an encoder.
        """
        if stage in makers():
            return self.repeats.get(stage, 1)
        return self.repeats.get(stage, max(self.repeats.get(make, 1) for make in makers()))

    @property
    def absences(self) -> list[str]:
        """A line for each reason why rows have no result of a task."""
        rows: dict[tuple[str, str], list[str]] = {}
        for (stage, row), reason in self.left_out.items():
            rows.setdefault((stage, reason), []).append(row)
        return [f"{stage} leaves out {', '.join(of)}: {why}" for (stage, why), of in rows.items()]

    @property
    def key(self) -> str:
        """Hash of everything in the recipe."""
        configs = {name: config.to_dict() for name, config in self.configs.items()}
        specs = {row.name: row.spec for row in self.rows if row.spec}
        content: list[Any] = [self.encoders, configs]
        content += [one for one in (self.repeats, specs) if one]
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_recipe(name: str, overrides: Iterable[str] = (), lookup: Lookup | None = None) -> Recipe:
    """Read a recipe and every config it names, find its encoders, and check all of it.

    Args:
        name: of a file under `configs/benchmarks`, or a path.
        overrides: `key=value` for the recipe, `<stage>.<key>=value` for a stage's config,
            `pretrain[<row>].<key>=value` for that of one row, `*.<key>=value` for all.
        lookup: where encoders of MLflow are; in that of the environment without it.

    Raises:
        UserError: for anything unknown or missing, before any stage runs.
    """
    lookup = lookup or Lookup()
    of_recipe, of_stage = split_overrides(overrides)
    content = load_content(name, of_recipe)
    check_content(content)
    asked = asked_rows(content)
    check_stage_names(of_stage, asked, content.tasks)

    def config_of(stage: str, config: str, row: str = "") -> Config:
        scopes = (ALL, stage, cell_name(stage, row))
        own = [one for scope in scopes for one in of_stage.get(scope, [])]
        return load_stage_config(stage, config, own, content.seed, lookup)

    made = {row: config_of(stage, config, row) for row, (stage, config) in asked.items() if stage}
    columns = {task: config_of(task, config) for task, config in content.tasks.items()}
    # What needs no torch was told by now.
    from pipelines.recipes.checks import check_recipe, find_encoder, find_start

    rows = []
    for row, (stage, spec) in asked.items():
        ref = None if stage else find_encoder(spec, lookup)
        config = made.get(row)
        rows.append(Row(row, stage, config, ref, find_start(config, lookup) if config else None))
    left_out = check_recipe(rows, columns, content.filename)
    return Recipe(
        find_config(name, "benchmarks").stem,
        tuple(rows),
        content.slots,
        columns,
        {stage: int(count) for stage, count in content.get("repeats", {}).items()},
        content.get("retries", 0),
        left_out,
    )


@contextmanager
def handed_over(name: str, overrides: Sequence[str], recipe: Recipe) -> Iterator[None]:
    """Within the block :func:`checked_recipe` takes the recipe that was loaded with these."""
    token = _handed.set(((name, tuple(overrides)), recipe))
    try:
        yield
    finally:
        _handed.reset(token)


def checked_recipe(name: str, overrides: Sequence[str], lookup: Lookup) -> Recipe:
    """The recipe as the command line has loaded and checked it a moment ago, else from its file.

    Raises:
        UserError: as :func:`load_recipe`.
    """
    call, recipe = _handed.get() or (None, None)
    if recipe is not None and call == (name, tuple(overrides)):
        return recipe
    return load_recipe(name, overrides, lookup)


def load_content(name: str, overrides: Iterable[str] = ()) -> Config:
    """A recipe's file with overrides of its own keys. Raises UserError as :func:`load_config`."""
    content = load_config(name, "benchmarks")
    for override in overrides:
        apply_overrides(content, [chosen_rows(override, content.get("encoders"))])
    return content


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


def check_stage_names(
    given: Iterable[str], asked: Mapping[str, tuple[str, str]], tasks: Iterable[str]
) -> None:
    """Raise UserError for an override of a stage or of a row's stage that the recipe has not."""
    made = [(stage, row) for row, (stage, _) in asked.items() if stage]
    names = [*dict.fromkeys(stage for stage, _ in made), *tasks]
    rows = [cell_name(stage, row) for stage, row in made]
    for scope in given:
        if scope not in (ALL, *names, *rows):
            choices = [*names, *rows] if "[" in scope else names
            raise UserError(f"this recipe has no stage '{scope}'{suggest(scope, choices)}")


def split_overrides(overrides: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Overrides of the recipe itself, and by stage, or a row's stage, without its name.

    Raises:
        UserError: if one begins with neither a key of a recipe nor a stage.
    """
    of_recipe: list[str] = []
    of_stage: dict[str, list[str]] = {}
    for override in overrides:
        key, equals, _ = override.partition("=")
        stage, dot, _ = key.partition(".")
        if dot and stage.partition("[")[0] in (*stages(), ALL):
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
    known = {**KEYS, **OPTIONAL}
    for key in content:
        if key not in known and not key.startswith("_"):
            raise UserError(
                f"{content.filename}: a recipe has no key '{key}'{suggest(key, known)}. A name "
                "that only the file itself uses begins with '_'"
            )
    for key, kinds in known.items():
        if key in content and not isinstance(content[key], kinds):
            expected = kinds[0].__name__
            raise UserError(f"{key}={content[key]!r} in a recipe: expected {expected}")
    for stage, count in content.get("repeats", {}).items():
        there = stage in stages()  # a run may leave tasks out
        if not there or not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise UserError(
                f"repeats has {stage}={count!r}: expected a task, 'pretrain' or 'supervise', and "
                "how many runs"
            )
    if content.slots < 1:
        raise UserError(f"slots={content.slots}: at least one stage has to run at a time")
    names = list(content.encoders)
    if not names or any(not isinstance(n, str) or names.count(n) > 1 for n in names):
        raise UserError(f"encoders={names}: name at least one, and each once")
    for row, value in content.encoders.items() if isinstance(content.encoders, dict) else ():
        if not isinstance(value, str | None):
            raise UserError(f"encoders has {row}={value!r}: expected a config, an encoder or None")
    for task, config in content.tasks.items():
        if task not in tasks():
            raise UserError(f"no task is called '{task}'{suggest(task, tasks())}")
        if not isinstance(config, str):
            raise UserError(f"task '{task}' has {config!r} where its config's name belongs")
        makes = makes_classifier()
        if card_of(task).takes == "classifier" and makes not in content.tasks:
            raise UserError(f"task '{task}' takes what '{makes}' makes: the recipe needs both")


def load_stage_config(
    stage: str,
    name: str,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    lookup: Lookup | None = None,
) -> Config:
    """The config of one stage, by its file's name or as a run keeps it, its data folders checked.

    Raises:
        UserError: if the config is for another stage, or as :func:`load_config`.
    """
    if stored(name):
        config = config_of_run(name, overrides, (lookup or Lookup()).tracker)
    else:
        config = load_config(name, "", overrides)
    if config.get("stage") != stage:
        raise UserError(
            f"{config.filename} is a config for '{config.get('stage')}', expected '{stage}'"
        )
    check_overridden(stage, overrides)
    if seed is not None and not any(o.startswith("seed=") for o in overrides):
        config.seed = seed
    named = [override.partition("=")[0].partition(".")[0] for override in overrides]
    if "pixels" in named and "protocol" not in named and "protocol" in config:
        config.protocol = "same"  # who says which pixels means them for every encoder
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
    return [read.place for read in named if read.key in DATA_KEYS and read.value == root]


def prepare_demo_visibly() -> None:
    """Prepare the demo's data, with progress where there is something to do."""
    from mae_core.data.demo import prepare_demo

    with Display() as display:

        def show(done: int, total: int) -> None:
            if done == 1:
                display.say("demo data: composing it from Fashion-MNIST, once")
            display.update("demo data", done, total, "picture", {})

        prepare_demo(progress=show)
