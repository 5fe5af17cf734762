"""Whether files stay as they are, told by their names, sizes and times: cheap for any size."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from mae_core.data.roots import Listing, files_below, is_written_by_us, resolve_path
from mae_core.data.sources.factory import HUGGING_FACE


def data_state(paths: Iterable[str], listings: Iterable[Listing] = ()) -> str:
    """Hash that changes whenever a file behind `paths` is written, added, removed or renamed.

    It also changes for what is changed and changed back, which a digest of the content cannot see;
    and it says nothing about another machine or a copy.

    Args:
        paths: files and folders of data; what is on no disk of ours (`hf:<name>`) does not count,
            nor what a benchmark writes below them.
        listings: files that tables among `paths` name.

    Raises:
        UserError: as :func:`files_below`.
    """
    sha = hashlib.sha256()
    for path in sorted(filter(None, {_on_disk(path) for path in paths})):
        if not path.is_dir():
            _add(sha, path)
            continue
        names = sorted(files_below(path))
        folders = {folder for name in names for folder in Path(name).parents}  # '.' among them
        for folder in sorted(folders):
            if not _holds_ours(path / folder):  # its time is that of what a benchmark makes there
                _add(sha, path / folder)
        for name in names:
            _add(sha, path / name)
    for listing in listings:
        for name in listing.names():
            _add(sha, listing.root / name)
    return sha.hexdigest()


def _holds_ours(folder: Path) -> bool:
    """Whether a benchmark writes into a folder in this one."""
    return any(is_written_by_us(*_listed(folder / name)) for name in _listed(folder)[1])


def _listed(folder: Path) -> tuple[str, list[str], list[str]]:
    """A folder, the names of those in it, and of its files."""
    return next(os.walk(folder), (str(folder), [], []))


def _on_disk(path: str) -> Path | None:
    if not path.startswith(HUGGING_FACE):
        return resolve_path(path)
    folder = Path(path.removeprefix(HUGGING_FACE).partition(":")[0]).expanduser()
    return folder.resolve() if folder.exists() else None


def _add(sha: "hashlib._Hash", path: Path) -> None:
    try:
        about = path.stat()
        told = f"{about.st_size} {about.st_mtime_ns}"
    except OSError:  # gone meanwhile, or a link to nothing
        told = "none"
    sha.update(os.fsencode(f"{path}\0{told}\0"))
