"""Configs that came with a file or from a server: looked through before anything is built of them.

mmengine builds whatever a config names: a dotted name is imported and called, any other one that
is not registered is imported too, mmcv evaluates the name of an NMS, and a config that is written
down and read again replaces `{{ }}`, reads its `_base_` and runs what hides in a key. So such a
config is data alone, and names nothing that is not registered.
"""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

from mmengine import registry
from mmengine.registry import Registry

from mae_core.errors import UserError

DEPTH = 32  # of nesting; our deepest config has 9
NODES = 200_000  # values in all
LARGEST = 2**64  # of numbers: a seed may be large
SCOPES = ("mmengine", "mmdet", "mmseg", "mmcv")  # of registries
NAMES = ("type", "constructor", "runner_type")  # keys whose text a registry looks up
# What mmcv and mmengine look up by themselves: operators of mmcv, and kinds of gradient clipping.
BY_NAME = frozenset({"nms", "soft_nms", "RoIAlign", "RoIPool", "norm", "value"})
OURS = ("mae_core", "downstream")  # packages that a config may import
FORBIDDEN = ("_base_", "_scope_")  # keys that make mmengine read or import more


def registered_names(*which: str) -> frozenset[str]:
    """Names in mmengine's registries and those of other packages below them.

    Args:
        which: registries, such as 'MODELS'; all without them.
    """
    found: set[str] = set()
    for name, one in vars(registry).items():
        if isinstance(one, Registry) and (not which or name in which):
            for part in _with_children(one):
                found.update(part.module_dict)
    return frozenset(found)


def _with_children(one: Registry) -> Iterator[Registry]:
    yield one
    for child in one.children.values():
        yield from _with_children(child)


def check_data(content: Any, source: str, known: Callable[[str], bool]) -> None:
    """Look through a config.

    Args:
        content: of the config, made of dicts, lists, tuples, text, numbers and None.
        source: where it is from, for messages.
        known: whether a name may be built.

    Raises:
        UserError: if it holds more than data, or names what is not known.
    """
    rest, seen = [(content, 0)], 0
    while rest:
        node, depth = rest.pop()
        seen += 1
        if depth > DEPTH or seen > NODES:
            raise UserError(
                f"{source}: its config is nested deeper than {DEPTH} or has more than {NODES:,} "
                "values"
            )
        if isinstance(node, dict):
            for key, value in node.items():
                check_entry(key, value, source, known)
            rest.extend((value, depth + 1) for value in node.values())
        elif isinstance(node, list | tuple):
            rest.extend((value, depth + 1) for value in node)
        else:
            check_value(node, source)


def check_entry(key: Any, value: Any, source: str, known: Callable[[str], bool]) -> None:
    """Raise UserError for a key that is no plain name, or that asks for more than data."""
    if not isinstance(key, str | int | float | tuple | None):
        raise UserError(f"{source}: its config has a {type(key).__name__} for a key")
    if isinstance(key, str):
        check_value(key, source)
        if not key.isprintable() or any(sign in key for sign in "'\"\\"):
            raise UserError(f"{source}: its config has the key {key!r}: expected a plain name")
    if key in FORBIDDEN or (key == "default_scope" and value not in (None, *SCOPES)):
        raise UserError(f"{source}: its config has {key}={value!r:.100}, which would be imported")
    if key in NAMES and not (isinstance(value, str) and known(value)):
        raise UserError(
            f"{source}: its config has {key}={value!r:.100}, which is no registered name: only "
            "models and parts of mmengine, mmdet, mmseg and this project are built"
        )


def check_value(value: Any, source: str) -> None:
    """Raise UserError unless a value is plain text, a finite number, True, False or None."""
    if isinstance(value, str):
        if "{{" in value or "}}" in value:
            raise UserError(
                f"{source}: its config has '{value:.100}', which would be replaced as it is read"
            )
    elif isinstance(value, int | float):
        if not abs(value) <= LARGEST:  # nor is nan
            raise UserError(f"{source}: its config has a number that is no finite one in bounds")
    elif value is not None:
        raise UserError(f"{source}: its config holds a {type(value).__name__}, which is no data")


def own_imports(custom: Any, source: str) -> list[str]:
    """The modules that a config's `custom_imports` names.

    Args:
        custom: its value, None if there is none.
        source: where the config is from, for messages.

    Raises:
        UserError: unless all of them are this project's.
    """
    if custom is None:
        return []
    imports = custom.get("imports", []) if isinstance(custom, dict) else [None]
    modules = imports if isinstance(imports, list | tuple) else [imports]
    for module in modules:
        if not _is_own(module):
            raise UserError(
                f"{source}: its config imports '{module}', code that is not of this project: "
                "read the config and that code before you run it"
            )
    return list(modules)


def _is_own(module: Any) -> bool:
    if not isinstance(module, str) or module.partition(".")[0] not in OURS:
        return False
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # below what is no package, or no name
        return False
