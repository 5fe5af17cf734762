"""What can be removed."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

LEFT = "left by processes that were killed"
Say = Callable[[str], None]


class Kind(StrEnum):
    """The kinds that a user names."""

    CHECKPOINTS = "checkpoints"
    SUPERSEDED = "superseded"
    UNFINISHED = "unfinished"
    CACHE = "cache"
    TEMPORARY = "temporary"


@dataclass(frozen=True)
class Item:
    """A file or folder.

    Attributes:
        kind: of it.
        where: the work dir, or another place.
        what: in words; items with the same words are shown as one.
        path: of it.
    """

    kind: Kind
    where: Path
    what: str
    path: Path
