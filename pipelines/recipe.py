"""A benchmark recipe: which encoders, which tasks, and each stage's config, all checked first."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mae_core.checkpoints import read_metadata, read_state
from mae_core.data.roots import resolve_root
from mae_core.engine.config import find_config, load_config
from mae_core.errors import UserError
from mae_core.models import suggest
from pipelines.stages import STAGES, TASKS, data_roots

KEYS = ("seed", "slots", "pretrain", "encoders", "tasks")


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        name: as in `configs/benchmarks/<name>.py`.
        encoders: the rows, in order: 'mae', 'random', or paths of encoder files.
        slots: how many stages run side by side.
        configs: by stage name, the config with overrides applied.
    """

    name: str
    encoders: tuple[str, ...]
    slots: int
    configs: dict[str, Config]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The columns, in the recipe's order."""
        return tuple(stage for stage in self.configs if stage != "pretrain")

    @property
    def key(self) -> str:
        """Hash of everything in the recipe."""
        content = [self.encoders, {name: c.to_dict() for name, c in self.configs.items()}]
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe and every config it names, and check them.

    Args:
        name: of a file under `configs/benchmarks`, or a path.
        overrides: `key=value` for the recipe, `<stage>.<key>=value` for a stage's config.

    Raises:
        UserError: for anything unknown or missing, before any stage runs.
    """
    of_stage: dict[str, list[str]] = {stage: [] for stage in STAGES}
    of_recipe = []
    for override in overrides:
        stage, dot, rest = override.partition(".")
        if dot and stage in STAGES and "=" not in stage:
            of_stage[stage].append(rest)
        else:
            of_recipe.append(override)
    content = load_config(name, "benchmarks", of_recipe)
    for key in KEYS:
        if key not in content:
            raise UserError(f"{content.filename} has no '{key}': a recipe needs {', '.join(KEYS)}")
    for task in content.tasks:
        if task not in TASKS:
            raise UserError(f"no task is called '{task}'{suggest(task, TASKS)}")
    names = {**({"pretrain": content.pretrain} if "mae" in content.encoders else {})}
    names.update(content.tasks)
    configs = {
        stage: load_stage_config(stage, config, of_stage[stage], content.seed)
        for stage, config in names.items()
    }
    for encoder in content.encoders:
        check_encoder(encoder)
    return Recipe(
        find_config(name, "benchmarks").stem, tuple(content.encoders), content.slots, configs
    )


def load_stage_config(
    stage: str, name: str, overrides: Iterable[str] = (), seed: int | None = None
) -> Config:
    """The config of one stage, its data folders checked.

    Raises:
        UserError: if the config is for another stage, or as :func:`load_config`.
    """
    config = load_config(name, "", overrides)
    if config.get("stage") != stage:
        raise UserError(
            f"{config.filename} is a config for '{config.get('stage')}', expected '{stage}'"
        )
    if seed is not None and not any(o.startswith("seed=") for o in overrides):
        config.seed = seed
    for root in data_roots(config):
        resolve_root(root)
    return config


def check_encoder(encoder: str) -> None:
    """Raise UserError unless `encoder` is 'mae', 'random' or a readable checkpoint."""
    if encoder in ("mae", "random"):
        return
    if not Path(encoder).is_file():
        raise UserError(
            f"no encoder at '{encoder}'{suggest(encoder, ['mae', 'random'])}, or the path of an "
            "encoder.safetensors"
        )
    if not read_metadata(encoder):
        read_state(encoder)
