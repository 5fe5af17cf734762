"""Configs that were copied out of their folder: what they are based on is found by name."""

import ast
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mae_core.errors import UserError

BASE = "_base_"


def read_config(path: Path, root: Path) -> Config:
    """The config in the file `path`; a `_base_` that is not where it says is looked for in `root`.

    Args:
        path: of a Python file.
        root: the folder of all configs.

    Raises:
        UserError: if there is no such base, or several have its name.
        Exception: whatever comes out of the file, which is executed.
    """
    with ExitStack() as stack:
        readable = _with_bases(path, root, stack)
        config = Config.fromfile(str(readable))
    if readable != path:
        object.__setattr__(config, "_filename", str(path))
    return config


def _with_bases(path: Path, root: Path, stack: ExitStack) -> Path:
    """The file itself, or a copy, gone with the stack, that names its bases by their places."""
    text = path.read_text(encoding="utf-8")
    node = _named_bases(text)
    if node is None:
        return path
    names = ast.literal_eval(node)
    places = []
    for name in [names] if isinstance(names, str) else names:
        places.append(_place_of(name, path, root, stack))
    if all(str(place) == name or place == path.parent / name for name, place in places):
        return path
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mae-bench-")))
    copy = folder / path.name
    whole = [str(place) for _, place in places]
    copy.write_text(_replaced(text, node, repr(whole)), encoding="utf-8")
    return copy


def _place_of(name: str, path: Path, root: Path, stack: ExitStack) -> tuple[str, str | Path]:
    """A base's name, and the file to read for it."""
    if "::" in name:  # of an installed package, which mmengine finds
        return name, name
    base = path.parent / name
    place = base if base.is_file() else find_base(name, path, root)
    return name, _with_bases(place, root, stack) if place.suffix == ".py" else place


def _replaced(text: str, node: ast.expr, new: str) -> str:
    """The source `text` with `new` in place of an expression in it."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    lines = text.encode().split(b"\n")  # Python counts columns in bytes
    before = [*lines[: node.lineno - 1], lines[node.lineno - 1][: node.col_offset]]
    after = [lines[node.end_lineno - 1][node.end_col_offset :], *lines[node.end_lineno :]]
    return (b"\n".join(before) + new.encode() + b"\n".join(after)).decode()


def _named_bases(text: str) -> Any:
    """What `_base_` is set to, if that is text or a list of texts."""
    for line in ast.parse(text).body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            if line.targets[0].id != BASE:
                continue
            entries = getattr(line.value, "elts", [line.value])
            if all(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in entries):
                return line.value
    return None


def find_base(name: str, path: Path, root: Path) -> Path:
    """The config below `root` that a copied file means by `name`, with most folders the same.

    Raises:
        UserError: if there is none, or several.
    """
    parts = [part for part in Path(name).parts if part not in ("..", ".", "/")]
    for start in range(len(parts)):
        wanted = Path(*parts[start:])
        found = sorted(p for p in root.rglob(wanted.name) if p.is_file() and _ends(p, wanted))
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(str(p.relative_to(root)) for p in found)
            raise UserError(f"its {BASE} '{name}' may be any of {several}: write the whole path")
    raise UserError(
        f"its {BASE} '{name}' is neither at {path.parent / name} nor among the configs in {root}: "
        "write where it is, or put it there"
    )


def _ends(path: Path, wanted: Path) -> bool:
    return path.parts[-len(wanted.parts) :] == wanted.parts
