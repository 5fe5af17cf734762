"""Where data lies: paths of the user, and the demo's data by the name `demo`."""

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from glob import escape as glob_escape
from glob import glob
from pathlib import Path
from typing import Protocol

from mae_core.errors import UserError, check_name
from mae_core.notices import say

LOCK = ".lock"  # of a work dir and of a stage's folder in it
MLFLOW, MLFLOWS = "mlflow.db", ("mlartifacts", "mlruns")  # its database, and the folders beside it
DEMO = "demo"  # first part of a data folder's name
DATA = "MAE_BENCH_DATA"  # variable with the folder that relative paths are below; the current one
CONTENT_LIMIT = 1 << 30  # bytes; of more the digest covers names, sizes and times of change


class Listing(Protocol):
    """Files by their paths below `root`, listed in a file; equal listings have the same hash."""

    @property
    def root(self) -> Path:
        """The folder."""

    def names(self) -> list[str]:
        """Of the files, each once, sorted."""

    def __hash__(self) -> int: ...


def resolve_root(root: str) -> Path:
    """The folder that `root` means; 'demo' and 'demo/...' are prepared when first asked for.

    Raises:
        UserError: if it does not exist, with the nearest existing parent.
    """
    path = meant(root)
    if not path.is_dir():
        raise _missing(path, "data folder")
    return path.resolve()


def resolve_path(data: str) -> Path:
    """The folder or file that `data` means, as :func:`resolve_root`."""
    path = meant(data)
    if not path.exists():
        raise _missing(path, "data")
    return path.resolve()


@lru_cache
def path_digest(path: Path, listing: Listing | None = None) -> str:
    """SHA-256 over the names and sizes of a file, or of all files below a folder.

    It also covers the content up to 1 GiB in all, and of more the times of the last change.

    Args:
        path: of the file or folder.
        listing: the files that the file lists, which are covered too, those that are there.

    Raises:
        UserError: if a file cannot be read, or as :func:`files_below`.
    """
    top = path if path.is_dir() else path.parent
    names = [path.name] if path != top else sorted(files_below(path))
    digest = hashlib.sha256()
    _add_files(digest, top, names)
    if listing is not None:
        _add_files(digest, listing.root, listing.names())
    return digest.hexdigest()


def _add_files(digest: "hashlib._Hash", top: Path, names: Sequence[str]) -> None:
    """Add the names below `top` and the content of what is a file among them."""
    names = [name for name in names if os.path.isfile(f"{top}/{name}")]
    states = [os.stat(f"{top}/{name}") for name in names]
    whole = sum(state.st_size for state in states) <= CONTENT_LIMIT
    for name, state in zip(names, states, strict=True):
        changed = "" if whole else f"{state.st_mtime_ns}\0"
        digest.update(os.fsencode(f"{name}\0{state.st_size}\0{changed}"))
        if whole:
            digest.update(_content(top / name))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def files_below(root: Path) -> list[str]:
    """Paths relative to `root` of all that is no folder below; links to folders are followed.

    What a benchmark wrote below `root`, pictures among it, is left out, and that is said.

    Raises:
        UserError: if a folder cannot be listed, or a link leads back to one above it, by whatever
            links the walk came there.
    """
    found: list[str] = []
    for place, folders, files in os.walk(root, followlinks=True, onerror=_cannot_list):
        if place != str(root) and is_written_by_us(place, folders, files):
            say(f"{place} is left out of the data in {root}: it is what mae-bench writes")
            folders.clear()
            continue
        prefix = place[len(f"{root}/") :] + "/" if place != str(root) else ""
        found.extend(prefix + file for file in files if not file.startswith(MLFLOW))
        for folder in folders:
            link = Path(place, folder)
            if link.is_symlink() and _leads_back(link, root):
                raise UserError(f"{link} links to a folder that it lies in: remove the link")
    return found


def _leads_back(link: Path, root: Path) -> bool:
    """Whether a link below `root` points to a folder above it, or to what holds one of these."""
    target, above = link.resolve(), link.parents
    places = above[: above.index(root) + 1]
    return any(place.resolve().is_relative_to(target) for place in places)


def is_written_by_us(place: str, folders: Sequence[str], files: Sequence[str]) -> bool:
    """Whether a folder is a work dir of ours, or holds MLflow's database and pictures.

    A work dir has a lock from its first moment, or folders of stages that have one each.
    """
    parent, name = os.path.split(place)
    if MLFLOW in files or (name in MLFLOWS and os.path.exists(f"{parent}/{MLFLOW}")):
        return True
    if LOCK in files and all(map(_of_work_dir, (*folders, *files))):
        return True
    if "stages" not in folders:
        return False
    stages = glob(f"{glob_escape(place)}/stages/*/")
    return any(os.path.exists(f"{stage}{name}") for stage in stages for name in (LOCK, "job.json"))


def _of_work_dir(name: str) -> bool:
    return name in (LOCK, "report", "benchmark.json") or name.startswith(("stages", ".trial-"))


def _cannot_list(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be listed: {error.strerror}") from error


def meant(data: str) -> Path:
    """The path that `data` means, there or not; '~' is the home folder.

    Raises:
        UserError: if it is no UTF-8.
    """
    check_name(data)
    first, _, rest = data.partition("/")
    if first == DEMO:
        from mae_core.data.demo import prepare_demo  # here, as few need what draws it

        return prepare_demo() / rest
    return Path(os.environ.get(DATA, "")).expanduser() / Path(data).expanduser()


def _missing(path: Path, what: str) -> UserError:
    parent = next(p for p in path.absolute().parents if p.is_dir())
    inside = ", ".join(sorted(p.name for p in parent.iterdir())[:8]) or "nothing"
    return UserError(f"no {what} at {path}: {parent} exists and holds {inside}")
