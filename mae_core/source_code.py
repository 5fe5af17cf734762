"""The code behind a result: modules with all of ours that they import, without comments."""

import ast
import hashlib
import json
import re
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from mae_core.data.cache import cache_root
from mae_core.files import write_json

SOURCE = Path(__file__).resolve().parents[1]
PACKAGES = ("mae_core", "downstream")  # what computes results
DOTTED = re.compile(r"\w+(\.\w+)*")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
KEPT_SOURCES = "sources-"  # begins the name of a file in the cache
MOST = 10_000  # sources of which is kept what was found
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
    for name, source in sorted(closure(modules).items()):
        sha.update(f"{name}\0{source.meaning}\0".encode())
    kept().write()
    return sha.hexdigest()[:16]


def all_modules() -> list[str]:
    """The names of all modules of our packages."""
    paths = (path for package in PACKAGES for path in (SOURCE / package).rglob("*.py"))
    return sorted(_name_of(path.relative_to(SOURCE)) for path in paths)


def closure(modules: Iterable[str]) -> dict[str, "Source"]:
    """Sources by module: of `modules`, their packages, and all that these import or name."""
    waiting, found = list(modules), dict[str, Source]()
    tops = {*PACKAGES, *(name.partition(".")[0] for name in waiting)}
    while waiting:
        name = waiting.pop()
        parent = name.rpartition(".")[0]
        if parent:
            waiting.append(parent)
        path = None if name in found or name.partition(".")[0] not in tops else _file_of(name)
        if path:
            found[name] = looked_through(path, name)
            waiting.extend(found[name].named)
    return found


class Source(NamedTuple):
    """What counts of a module's source.

    Attributes:
        named: what may be a module among what it imports or writes as text.
        meaning: hash of what it does: without comments, docstrings and layout; of a file in the
            middle of an edit that of all of it.
    """

    named: tuple[str, ...]
    meaning: str


class KeptSources:
    """What was found in sources, by their content, in a file: to parse ours takes half a second.

    Args:
        path: of the file. One that cannot be read or written costs time, nothing else.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.found = path, dict[str, Source]()
        with suppress(OSError, ValueError, TypeError):
            content = json.loads(path.read_bytes())
            self.found = {key: Source(tuple(named), meaning) for key, (named, meaning) in content}
        if len(self.found) > MOST:  # of versions of files that are gone, most of them
            self.found.clear()
        self.written = len(self.found)

    def write(self) -> None:
        """Write the file if anything was added."""
        if len(self.found) > self.written:
            with suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_json(self.path, [*self.found.items()])
            self.written = len(self.found)


@cache
def kept() -> KeptSources:
    """Of this Python, whose trees another one may write otherwise."""
    return KeptSources(cache_root() / "{}{}.{}.json".format(KEPT_SOURCES, *sys.version_info))


def looked_through(path: Path, name: str) -> Source:
    """What counts in the file of the module `name`."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    source, found = path.read_bytes(), kept().found
    key = hashlib.sha256(package.encode() + b"\0" + source).hexdigest()
    if key not in found:
        found[key] = look_through(source, package)
    return found[key]


def look_through(source: bytes, package: str) -> Source:
    """What counts of the source of a module in a package."""
    tree = parsed(source)
    if tree is None:
        return Source((), hashlib.sha256(source).hexdigest())
    named = tuple(named_in(tree, source, package))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return Source(named, hashlib.sha256(ast.unparse(tree).encode()).hexdigest())


def named_in(tree: ast.Module, source: bytes, package: str) -> Iterator[str]:
    """What may be a module among what a source, in a package, imports or writes as text."""
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
