"""The config that a stage's MLflow run keeps, read as data: none of it is executed.

Whoever may write to an MLflow server that others share could else run code on their machines.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mae_core.engine.config import apply_overrides
from mae_core.errors import UserError
from pipelines.folder import CONFIG

RUNS = "runs:/"  # begins the name of a config, as of an encoder
OURS = ("mae_core", "downstream")  # packages that a config may import
SCOPES = ("mmengine", "mmdet", "mmseg", "mmcv")  # of registries


def stored(name: str) -> bool:
    """Whether a config's name is of a run: `runs:/<id>`."""
    return name.startswith(RUNS)


def config_of_run(name: str, overrides: Iterable[str] = ()) -> Config:
    """The config of the stage's run `runs:/<id>`, with overrides applied.

    Raises:
        UserError: if there is no such run, it keeps no config, or that holds more than data.
    """
    from mlflow.exceptions import MlflowException

    from pipelines.protocol import parse_config
    from pipelines.tracking import Tracker

    tracker, run_id = Tracker(), name.removeprefix(RUNS).strip("/")
    run = tracker.find(run_id)
    if run is None:
        raise UserError(f"no MLflow run '{run_id}' in {tracker.place}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            text = tracker.fetch(run, CONFIG, Path(folder)).read_text()
        content = parse_config(text)
        config = Config(content, cfg_text=text or "\n", filename=name)
    except MlflowException as error:
        raise UserError(f"{name}: the run's {CONFIG} cannot be had: {error}") from error
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise UserError(f"{name}: the run's {CONFIG} is no plain config: {error}") from error
    check_data_only(content, name)
    apply_overrides(config, overrides)
    return config


def check_data_only(node: Any, name: str) -> None:
    """Raise UserError for what would make mmengine import or call more than what is registered."""
    if isinstance(node, str) and ("{{" in node or "}}" in node):
        raise UserError(f"{name}: its config has '{node}', which would be replaced as it is read")
    if isinstance(node, list | tuple):
        for value in node:
            check_data_only(value, name)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "type" and isinstance(value, str) and "." in value:
            raise UserError(f"{name}: its config has type='{value}', which is no registered name")
        if key in ("_scope_", "default_scope") and value not in (None, *SCOPES):
            raise UserError(f"{name}: its config has {key}={value!r}: expected one of {SCOPES}")
        if key == "custom_imports":
            check_imports(value, name)
        check_data_only(value, name)


def check_imports(value: Any, name: str) -> None:
    """Raise UserError unless `custom_imports` names modules of this project only."""
    imports = value.get("imports", []) if isinstance(value, dict) else [None]
    for module in [imports] if isinstance(imports, str) else imports:
        if str(module).partition(".")[0] not in OURS:
            raise UserError(
                f"{name}: its config imports '{module}', code that is not of this project: "
                f"download its {CONFIG} and read it before you run that"
            )
