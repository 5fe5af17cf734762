"""The config that a stage's MLflow run keeps, read as data: none of it is executed.

Whoever may write to an MLflow server that others share could else run code on their machines.
"""

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from mae_core.config import apply_overrides, note_threads
from mae_core.errors import UserError
from mae_core.untrusted import BY_NAME, check_data, own_imports, registered_names
from pipelines.cells.folder import CONFIG
from pipelines.stages import RUNS, stage_function, stages

if TYPE_CHECKING:
    from pipelines.tracking.tracker import Tracker


def stored(name: str) -> bool:
    """Whether a config's name is of a run: `runs:/<id>`."""
    return name.startswith(RUNS)


def config_of_run(name: str, overrides: Iterable[str], tracker: "Tracker") -> Config:
    """The config of the stage's run `runs:/<id>` in a tracker, with overrides applied.

    Raises:
        UserError: if there is no such run, it keeps no config, or that holds more than data.
    """
    from pipelines.stored_config import parse_config
    from pipelines.tracking.artifacts import UNREADABLE

    run_id = name.removeprefix(RUNS).strip("/")
    run = tracker.look_up(run_id)
    if run is None:
        raise UserError(f"no MLflow run '{run_id}' in {tracker.place}")
    try:
        text = tracker.read(run, CONFIG).decode()
        content = parse_config(text)
        config = Config(content, cfg_text=text or "\n", filename=name)
    except UNREADABLE as error:
        raise UserError(f"{name}: the run's {CONFIG} cannot be had: {error}") from error
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise UserError(f"{name}: the run's {CONFIG} is no plain config: {error}") from error
    check_data_only(content, name)
    note_threads(config)
    apply_overrides(config, overrides)
    return config


def check_data_only(content: Any, name: str) -> None:
    """Raise UserError for what would make mmengine import or call more than what is registered."""
    fields = content if isinstance(content, dict) else {}
    modules = own_imports(fields.get("custom_imports"), name)

    def known(text: str) -> bool:
        if text in BY_NAME | registered_names():
            return True
        stage = fields.get("stage")
        if isinstance(stage, str) and stage in stages():
            stage_function(stage)  # imports what registers, which takes seconds
        for module in modules:
            importlib.import_module(module)
        return text in registered_names()

    check_data(content, name, known)
