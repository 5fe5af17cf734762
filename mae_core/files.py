"""Files, whatever they hold."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal, and its bytes."""
    return f"{digest(path)} {os.path.getsize(path)}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a place beside `path`; what is written there takes its place if the block succeeds.

    It is on the disk before: after a crash `path` is the old file or the new one, both whole.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        publish(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text file, whole or not at all, as :func:`replacing`."""
    with replacing(path) as part:
        part.write_text(text)


def publish(part: Path, path: Path) -> None:
    """Rename `part` to `path` once its content is on the disk."""
    with part.open("rb") as content:
        os.fsync(content.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
