"""Look at everything, remove what is named, and tell."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mae_core.data.cache import cache_root
from mae_core.errors import UserError
from pipelines.cells.folder import STAGES
from pipelines.clean.cache import in_cache, in_temporary
from pipelines.clean.files import measured, remove
from pipelines.clean.items import Item, Kind, Say
from pipelines.clean.work_dirs import below, in_work_dir, is_needed, is_work_dir, needed_files

RUNS = Path("runs")  # work dirs lie here unless the user says otherwise


@dataclass
class Row:
    """Items of the same kind, place and words: how many files and bytes they are."""

    files: int = 0
    size: int = 0


@dataclass
class Found:
    """What there is, and what was done.

    Attributes:
        rows: by kind, place and words.
        freed: bytes that were removed.
        notes: what was left alone, and why.
        failed: what could not be removed, and why.
    """

    rows: dict[tuple[Kind, Path, str], Row] = field(default_factory=dict)
    freed: int = 0
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def clean(work_dirs: Sequence[Path], kinds: Sequence[Kind]) -> Found:
    """Look at everything, and remove what is of one of `kinds`.

    Args:
        work_dirs: where; without any, every one below `runs/`.
        kinds: without any, nothing is removed.

    Raises:
        UserError: if one of `work_dirs` is no work dir.
    """
    for folder in work_dirs:
        if not is_work_dir(folder):
            raise UserError(f"no work dir at {folder}: expected a folder with {STAGES}/ in it")
    found, counted = Found(), set[Path]()
    for item in items(work_dirs or list(below(RUNS)), found.notes.append):
        row = found.rows.setdefault((item.kind, item.where, item.what), Row())
        files, size = measured(item.path, counted)
        row.files += files
        row.size += size
        if item.kind in kinds:
            try:
                remove(item.path)
                found.freed += size
            except OSError as error:
                found.failed.append(f"{error.filename or item.path}: {error.strerror}")
    return found


def items(work_dirs: Sequence[Path], say: Say) -> Iterator[Item]:
    """Everything that could be removed."""
    needed = needed_files({*work_dirs, *below(RUNS)})
    for folder in work_dirs:
        for item in in_work_dir(folder, say):
            if not is_needed(item.path, needed):
                yield item
    yield from in_cache(cache_root(), say)
    yield from in_temporary(Path(tempfile.gettempdir()))
