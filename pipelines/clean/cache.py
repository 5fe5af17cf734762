"""What can be removed in the cache folder, and in the one for temporary files."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mae_core.source_code import KEPT_SOURCES
from pipelines.cells.folder import read_record
from pipelines.clean.files import (
    PARTS,
    entries,
    files_in,
    folders_in,
    is_left,
    is_old,
    stage_uses,
    unlocked,
)
from pipelines.clean.items import LEFT, Item, Kind, Say

UNFINISHED = re.compile(r"\.partial$|(\.[0-9a-f]{8})?\.part$")  # ends the names of a target in work


def in_cache(root: Path, say: Say) -> Iterator[Item]:
    """What could be removed; nobody works at an item while it is the current one.

    The demo's data of this version and its source stay: they may be all that there is offline.

    Args:
        root: the cache folder.
        say: told of what is in use.
    """
    for path in (*entries(root), *entries(root / "encoders"), *entries(root / "tars")):
        if is_left_part(path) or is_left(path):
            with unlocked(lock_of(path)) as free:
                if free:
                    yield Item(Kind.TEMPORARY, root, LEFT, path)
    if stage_uses(root):
        say(f"a stage that uses it runs on this machine: {root} is left alone")
        return
    for path, what in made_again(root):
        with unlocked(lock_of(path)) as free:
            if free:
                yield Item(Kind.CACHE, root, what, path)


def made_again(root: Path) -> Iterator[tuple[Path, str]]:
    """What is made or downloaded again when it is needed, and what it is."""
    for path in files_in(root):
        if path.name.startswith(KEPT_SOURCES):
            yield path, "what was found in source code"
    for path in files_in(root / "tars"):
        if path.suffix == ".npz":
            yield path, "indexes of tar files"
    for path in folders_in(root / "wheels"):
        yield path, "wheels that a set-up made"
    for path in entries(root / "encoders"):
        if not path.name.startswith(".") and not path.name.endswith(PARTS):
            yield path, "downloaded encoders"
    for path in old_demos(root):
        yield path, "demo data of other versions"


def old_demos(root: Path) -> list[Path]:
    """The folders with demo data that this version does not read."""
    known = {}
    for path in folders_in(root):
        if identity := read_record(path / "dataset.json").get("identity"):
            known[path] = identity
    if not known:
        return []
    from mae_core.data.demo import DemoSpec

    return [path for path, identity in known.items() if identity != DemoSpec().identity()]


def is_left_part(path: Path) -> bool:
    """Whether `path` is what a process began to write, known by its name."""
    if path.parent.name == "tars":  # named by the process, without a lock
        return path.suffix != ".npz" and is_old(path)
    return path.name.endswith(PARTS)


def lock_of(path: Path) -> Path:
    """The lock file of what is written to the cache, of its unfinished form too."""
    name = UNFINISHED.sub("", path.name.removeprefix("."))
    return path.with_name(f".{name}.lock")


def in_temporary(root: Path) -> Iterator[Item]:
    """Our folders among all temporary ones."""
    for path in folders_in(root):
        ours = path.name.startswith("mae-bench-") and path.stat().st_uid == os.getuid()
        if ours and is_left(path):
            yield Item(Kind.TEMPORARY, root, LEFT, path)
