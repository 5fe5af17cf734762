"""Files, whatever they hold: written whole or not at all, and looked at for damage."""

import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PART = ".part"  # ends the name of what is being written


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal, and its bytes."""
    return f"{digest(path)} {os.path.getsize(path)}"


@contextmanager
def replacing(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield a name beside `path` to write to; what is there at the end becomes `path`.

    The content is on the disk before it gets the name: a crash or a power cut leaves the old file
    or the new one, never a part or an empty one. If the block fails, the old one stays. The name is
    new each time, so that two processes that write the same file do not write into each other's.

    Args:
        path: of the file; a link is replaced, not followed.
        private: let only the owner read it.

    Raises:
        OSError: if it cannot be written.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        if private:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield part
        publish(part, path)
    finally:
        part.unlink(missing_ok=True)


def publish(part: Path, path: Path) -> None:
    """Rename `part` to `path`, on the same file system, once its content is on the disk."""
    with part.open("rb") as content:
        os.fsync(content.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(path: Path, content: bytes, private: bool = False) -> None:
    """Write as :func:`replacing` does."""
    with replacing(path, private) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str, private: bool = False) -> None:
    """Write UTF-8 text as :func:`replacing` does; what file names have beyond it is escaped."""
    write_bytes(path, text.encode(errors="backslashreplace"), private)


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Write JSON as :func:`replacing` does."""
    write_text(path, json.dumps(content, indent=indent))


END = 22  # bytes of the record that ends a zip without a comment


def zip_is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether everything in a zip fits its check sum (CRC-32), as of each .npz and torch's files.

    numpy and torch do not look at these, nor at how many entries there are by its end. All of it is
    read, about 1 GB a second, in small pieces.

    Raises:
        OSError: if there is no such file or it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as content:
                file.seek(-END, os.SEEK_END)
                entries = int.from_bytes(file.read()[10:12], "little")  # 65,535 stands for more
                return content.testzip() is None and entries in (len(content.filelist), 0xFFFF)
        except Exception:  # flipped bits may mean anything: encryption, places beyond the end
            return False
