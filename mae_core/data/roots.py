"""Where data lies: paths of the user, and the demo's data by the name `demo`."""

import hashlib
from functools import lru_cache
from pathlib import Path

from mae_core.data.demo import prepare_demo
from mae_core.errors import UserError

DEMO = "demo"  # first part of a data folder's name
CONTENT_LIMIT = 1 << 30  # bytes; a larger folder's digest covers names and sizes only


def resolve_root(root: str) -> Path:
    """The folder that `root` means; 'demo' and 'demo/...' are prepared when first asked for.

    Raises:
        UserError: if it does not exist, with the nearest existing parent.
    """
    first, _, rest = root.partition("/")
    path = prepare_demo() / rest if first == DEMO else Path(root).expanduser()
    if not path.is_dir():
        parent = next(p for p in path.absolute().parents if p.is_dir())
        inside = ", ".join(sorted(p.name for p in parent.iterdir())[:8]) or "nothing"
        raise UserError(f"no data folder at {path}: {parent} exists and holds {inside}")
    return path.resolve()


@lru_cache
def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and sizes of all files below, and the content up to 1 GiB in all."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    sizes = [p.stat().st_size for p in files]
    digest = hashlib.sha256()
    for path, size in zip(files, sizes, strict=True):
        digest.update(f"{path.relative_to(folder)}\0{size}\0".encode())
        if sum(sizes) <= CONTENT_LIMIT:
            digest.update(path.read_bytes())
    return digest.hexdigest()
