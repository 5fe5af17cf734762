"""Configs: mmengine Python files found by name, overridden by `key=value`."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mae_core.errors import UserError, suggest

# In a checkout a link to the folder configs, in an installation the folder itself.
CONFIG_ROOT = (Path(__file__).parents[2] / "mae_bench_configs").resolve()

KINDS: dict[str, tuple[type, ...]] = {
    "True or False,": (bool,),
    "a number": (int, float),
    "a dict": (dict,),
    "a list": (list, tuple),
}

SPECIAL = {("batch_size", "auto")}  # text in place of a number, see mae_core.engine.fit


def load_config(name: str, folder: str = "", overrides: Iterable[str] = ()) -> Config:
    """Read a config and apply overrides.

    Args:
        name: a path, or the name of a file under `configs/<folder>`, with or without `.py`.
        folder: where names are looked up, such as 'benchmarks'.
        overrides: `key=value` with dots for nesting; values are Python literals or plain text.

    Raises:
        UserError: if there is no such file or key, with the nearest valid one, or if the file
            cannot be executed.
    """
    path = find_config(name, folder)
    try:
        config = Config.fromfile(str(path))
    except Exception as error:  # a config is user code: anything may come out of it
        raise UserError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    apply_overrides(config, overrides)
    return config


def find_config(name: str, folder: str = "") -> Path:
    """The file that `name` means. Raises UserError with the nearest choice."""
    root = CONFIG_ROOT / folder
    for path in (Path(name).expanduser(), root / name, root / f"{name}.py"):
        if path.is_file() and path.suffix == ".py":
            return path.resolve()
    choices = [str(p.relative_to(root).with_suffix("")) for p in root.rglob("[!_]*.py")]
    choices = [c for c in choices if not c.startswith("_base_")]
    raise UserError(
        f"no {folder.rstrip('s') or 'config'} is called '{name}'{suggest(name, choices)}"
    )


def apply_overrides(config: Config, overrides: Iterable[str]) -> None:
    """Set `a.b=value` for each override.

    Raises:
        UserError: if the config has no such key, or its value there is of another kind.
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UserError(f"override '{override}' is not key=value")
        *parents, last = key.split(".")
        node: Any = config._cfg_dict
        for part in parents:
            node = _child(node, part, key)
        old = _child(node, last, key)
        value = text if (last, text) in SPECIAL else _like(old, text, override)
        node[int(last) if isinstance(node, list) else last] = value


def _child(node: Any, part: str, key: str) -> Any:
    if isinstance(node, list) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    if isinstance(node, ConfigDict) and part in node:
        return node[part]
    choices = list(node) if isinstance(node, dict) else []
    raise UserError(f"the config has no key '{key}': '{part}' is unknown{suggest(part, choices)}")


def _like(old: Any, text: str, override: str) -> Any:
    """The value that `text` means in place of `old`: text stays text, nothing else becomes it."""
    new = _literal(text)
    if isinstance(old, str):
        return new if isinstance(new, str) else text
    if old is None or new is None:
        return new
    if isinstance(new, str) or isinstance(old, dict) != isinstance(new, dict):
        kind = next((name for name, kinds in KINDS.items() if isinstance(old, kinds)), "a value")
        raise UserError(f"override '{override}': expected {kind} like {old}")
    return new


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
