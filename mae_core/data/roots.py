"""Where data lies: paths of the user, and the demo's data by the name `demo`."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from mae_core.errors import UserError

DEMO = "demo"  # first part of a data folder's name
DATA = "MAE_BENCH_DATA"  # variable with the folder that relative paths are below; the current one
CONTENT_LIMIT = 1 << 30  # bytes; the digest of more covers names and sizes only


def resolve_root(root: str) -> Path:
    """The folder that `root` means; 'demo' and 'demo/...' are prepared when first asked for.

    Raises:
        UserError: if it does not exist, with the nearest existing parent.
    """
    path = _meant(root)
    if not path.is_dir():
        raise _missing(path, "data folder")
    return path.resolve()


def resolve_path(data: str) -> Path:
    """The folder or file that `data` means, as :func:`resolve_root`."""
    path = _meant(data)
    if not path.exists():
        raise _missing(path, "data")
    return path.resolve()


@lru_cache
def path_digest(path: Path) -> str:
    """SHA-256 over the names and sizes of a file, or of all files below a folder.

    It also covers the content up to 1 GiB in all.
    """
    top = path if path.is_dir() else path.parent
    names = [path.name] if path != top else sorted(files_below(path))
    names = [name for name in names if os.path.isfile(top / name)]
    sizes = [os.path.getsize(top / name) for name in names]
    whole = sum(sizes) <= CONTENT_LIMIT
    digest = hashlib.sha256()
    for name, size in zip(names, sizes, strict=True):
        digest.update(os.fsencode(f"{name}\0{size}\0"))
        if whole:
            digest.update((top / name).read_bytes())
    return digest.hexdigest()


def files_below(root: Path) -> list[str]:
    """Paths relative to `root` of all that is no folder below; links to folders are followed.

    Raises:
        UserError: if a folder cannot be listed, or a link leads back to one above it.
    """
    found: list[str] = []
    for place, folders, files in os.walk(root, followlinks=True, onerror=_cannot_list):
        prefix = place[len(f"{root}/") :] + "/" if place != str(root) else ""
        found.extend(prefix + file for file in files)
        for folder in folders:
            link = f"{place}/{folder}"
            if os.path.islink(link) and Path(place).resolve().is_relative_to(Path(link).resolve()):
                raise UserError(f"{link} links to a folder that it lies in: remove the link")
    return found


def _cannot_list(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be listed: {error.strerror}") from error


def _meant(data: str) -> Path:
    first, _, rest = data.partition("/")
    if first == DEMO:
        from mae_core.data.demo import prepare_demo  # here, as few need what draws it

        return prepare_demo() / rest
    return Path(os.environ.get(DATA, ""), Path(data).expanduser())


def _missing(path: Path, what: str) -> UserError:
    parent = next(p for p in path.absolute().parents if p.is_dir())
    inside = ", ".join(sorted(p.name for p in parent.iterdir())[:8]) or "nothing"
    return UserError(f"no {what} at {path}: {parent} exists and holds {inside}")
