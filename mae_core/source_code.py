"""The code behind a result: modules with all of ours that they import, without comments."""

import ast
import hashlib
import re
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
PACKAGES = ("mae_core", "downstream")  # what computes results
DOTTED = re.compile(r"\w+(\.\w+)*")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_parsing = threading.Lock()  # Python 3.11's parser counts the depth for all threads together


def code_digest(modules: Iterable[str]) -> str:
    """Hash of modules and of all that they import from our packages, at whatever point.

    Comments, docstrings and layout do not count. Modules outside of our packages, such as a
    config's `custom_imports`, count with all of their own package that they import; those that are
    installed do not, they have versions.

    Args:
        modules: by name; one that is not found does not count.
    """
    sha = hashlib.sha256()
    for name, path in sorted(closure(modules).items()):
        sha.update(f"{name}\0{meaning(path)}\0".encode())
    return sha.hexdigest()[:16]


def all_modules() -> list[str]:
    """The names of all modules of our packages."""
    paths = (path for package in PACKAGES for path in (SOURCE / package).rglob("*.py"))
    return sorted(_name_of(path.relative_to(SOURCE)) for path in paths)


def closure(modules: Iterable[str]) -> dict[str, Path]:
    """Files by module: of `modules`, their packages, and all that these import or name."""
    waiting, found = list(modules), dict[str, Path]()
    tops = {*PACKAGES, *(name.partition(".")[0] for name in waiting)}
    while waiting:
        name = waiting.pop()
        parent = name.rpartition(".")[0]
        if parent:
            waiting.append(parent)
        path = None if name in found or name.partition(".")[0] not in tops else _file_of(name)
        if path:
            found[name] = path
            waiting.extend(named_in(path.read_bytes(), name, path.name == "__init__.py"))
    return found


def named_in(source: bytes, name: str, is_package: bool) -> Iterator[str]:
    """What may be a module among what the source of the module `name` imports or writes as text."""
    tree = parsed(source)
    if tree is None:
        return
    package = name if is_package else name.rpartition(".")[0]
    by_text = b"import_module" in source or b"__import__" in source
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant):
            yield from _named_by_text(node.value, package if by_text else "")


def _named_by_text(value: object, package: str) -> Iterator[str]:
    """A text that may be a module's name; also below `package`, for tables of lazy imports."""
    if isinstance(value, str) and DOTTED.fullmatch(value):
        yield value
        if package:
            yield f"{package}.{value}"


def parsed(source: bytes) -> ast.Module | None:
    """The syntax tree of a source; None of a file in the middle of an edit."""
    with _parsing:
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError):
            return None


def meaning(path: Path) -> str:
    """What a source file does, as text: without comments, docstrings and layout."""
    source = path.read_bytes()
    tree = parsed(source)
    if tree is None:
        return hashlib.sha256(source).hexdigest()
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module of `from ... import`, also if it is named from the package's point of view."""
    if not node.level:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _file_of(name: str) -> Path | None:
    """A module's file; None if there is none, or it is installed."""
    top, *rest = name.split(".")
    for folder in [SOURCE] if top in PACKAGES else _folders_with(top):
        place = Path(folder, top, *rest)
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                return path
    return None


def _folders_with(top: str) -> list[Path]:
    """The folders in which the package or module `top` lies; none if it is installed."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None or top in sys.stdlib_module_names:
        return []
    places = [Path(place).parent for place in spec.submodule_search_locations or []]
    if not places and spec.origin:
        places = [Path(spec.origin).parent]
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    return [place for place in places if place.resolve() not in installed]


def _name_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
