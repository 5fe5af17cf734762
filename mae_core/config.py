"""Configs: mmengine Python files found by name, overridden by `key=value`."""

import ast
import copy
import math
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mae_core.engine.bases import read_config
from mae_core.errors import UserError, suggest
from mae_core.notices import is_utf8
from mae_core.stage import LEFT_OUT, THREADS

# In a checkout a link to the folder configs, in an installation the folder itself.
CONFIG_ROOT = (Path(__file__).parents[1] / "mae_bench_configs").resolve()

KINDS: dict[str, tuple[type, ...]] = {
    "True or False,": (bool,),
    "a number": (int, float),
    "a dict": (dict,),
    "a list": (list, tuple),
}

NUMBER = re.compile("[0-9]{1,6}")  # of an entry of a list
COUNTED = 1 << 63  # what tensors can count to
WRITTEN = 1 << 1024  # what can be written and read again, also as a float
SIDES = ("img_size", "input_size")  # one number or two
SPECIAL = {("batch_size", "auto")}  # text in place of a number, see mae_core.engine.auto_batch


def load_config(name: str, folder: str = "", overrides: Iterable[str] = ()) -> Config:
    """Read a config and apply overrides.

    Args:
        name: a path, or the name of a file under `configs/<folder>`, with or without `.py`.
        folder: where names are looked up, such as 'benchmarks'.
        overrides: `key=value` with dots for nesting; values are Python literals or plain text.

    A stage's config has `threads` in any case, see :data:`mae_core.stage.THREADS`.

    Raises:
        UserError: if there is no such file or key, with the nearest valid one, or if the file
            cannot be executed.
    """
    path = find_config(name, folder)
    try:
        config = read_config(path, CONFIG_ROOT)
    except UserError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # a config is user code: anything may come out of it
        raise UserError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    note_threads(config)
    apply_overrides(config, overrides)
    return config


def note_threads(config: Config) -> None:
    """Give a stage's config without `threads` the default."""
    if "stage" in config and "threads" not in config:
        config.threads = THREADS


def note_left_out(config: Config, key: str) -> None:
    """Give a stage's config a key of :data:`mae_core.stage.LEFT_OUT` that it has not."""
    usual = LEFT_OUT.get(config.get("stage", ""), {})
    if key in usual and config.get(key) is None:
        config[key] = copy.deepcopy(usual[key])


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
        note_left_out(config, key.partition(".")[0])
        node: Any = config._cfg_dict
        for part in parents:
            node = _child(node, part, key)
        old = _child(node, last, key)
        pair = last in SIDES and _is_pair(literal(text))
        like = list(literal(text)) if pair and isinstance(old, int) else old
        value = text if (last, text) in SPECIAL else _like(like, text, override)
        node[int(last) if isinstance(node, list) else last] = value


def _child(node: Any, part: str, key: str) -> Any:
    if isinstance(node, list) and NUMBER.fullmatch(part) and int(part) < len(node):
        return node[int(part)]
    if isinstance(node, ConfigDict) and part in node:
        return node[part]
    choices = list(node) if isinstance(node, dict) else []
    raise UserError(f"the config has no key '{key}': '{part}' is unknown{suggest(part, choices)}")


def _like(old: Any, text: str, override: str) -> Any:
    """The value that `text` means in place of `old`: text stays text, nothing else becomes it."""
    new = literal(text)
    if isinstance(old, str) and not isinstance(new, str):
        new = text
    if reason := not_plain(new):
        raise UserError(f"override '{override}': {reason}")
    if not fits(old, new):
        kind = next((name for name, kinds in KINDS.items() if isinstance(old, kinds)), "a value")
        raise UserError(f"override '{override}': expected {kind} like {old}")
    return as_whole(old, new)


def fits(old: Any, new: Any) -> bool:
    """Whether a value is of the kind of the one in its place; None, for "without", is of each but
    dicts and lists.

    Lists are of one kind if all their entries are, dicts if the entries are that both have. In
    place of text in them anything is, as who reads it knows better what may stand there.
    """
    if old is None or new is None:
        return not isinstance(old, dict | list | tuple)
    if isinstance(old, dict) and isinstance(new, dict):
        known = ((old[key], value) for key, value in new.items() if key in old)
        return all(isinstance(one, str) or fits(one, other) for one, other in known)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        one_kind = len({_kind(entry) for entry in old}) == 1 and not isinstance(old[0], str)
        return not one_kind or all(fits(old[0], entry) for entry in new)
    if isinstance(new, int) and abs(new) >= COUNTED:
        return False
    return _kind(old) == _kind(new)


def _kind(value: Any) -> str:
    return next((name for name, kinds in KINDS.items() if isinstance(value, kinds)), "text")


def as_whole(old: Any, new: Any) -> Any:
    """A number such as 1e2 as a whole one, where a whole one is in its place."""
    whole = type(old) is int and isinstance(new, float) and new.is_integer()
    return int(new) if whole else new


def not_plain(value: Any) -> str:
    """Why a value cannot be part of a config; '' if it can."""
    if isinstance(value, dict):
        odd = [key for key in value if not (isinstance(key, str) and key.isprintable())]
        return f"the key {odd[0]!r} is no plain text" if odd else _first((*value, *value.values()))
    if isinstance(value, list | tuple):
        return _first(value)
    if isinstance(value, str):
        if "{{" in value:
            return "'{{' begins a variable of mmengine, which would change when it is read again"
        return "" if is_utf8(value) else "it is no text in UTF-8"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not finite"
    if value is None or isinstance(value, bool | float):
        return ""
    if isinstance(value, int):
        return "" if abs(value) < WRITTEN else "the number is too large"
    return f"a {type(value).__name__} cannot be part of a config"


def _first(values: Iterable[Any]) -> str:
    return next((reason for value in values if (reason := not_plain(value))), "")


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and [type(side) for side in value] == [int, int]


def literal(text: str) -> Any:
    """What `text` means as a Python literal; the text itself if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of a backslash in what is text
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
