"""What a user should hear of before anything runs, without being a mistake: said once."""

import logging
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from io import TextIOWrapper

log = logging.getLogger(__name__)
KINDS = 8  # named at most


@lru_cache(1024)
def say(text: str) -> None:
    """Warn of `text`, once in a process."""
    log.warning("%s", printable(text))


def printable(text: str) -> str:
    """`text` with '\\xff' in place of each byte of a file name that is no UTF-8."""
    return text if is_utf8(text) else os.fsencode(text).decode("utf-8", "backslashreplace")


def is_utf8(text: str) -> bool:
    """Whether it can be written as UTF-8: not a file's name of other bytes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def counted(counts: Mapping[str, int]) -> str:
    """Such as '90 .heic, 2 .txt', the most frequent kinds first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count:,} {kind}" for kind, count in ordered[:KINDS]]
    rest = sum(count for _, count in ordered[KINDS:])
    return ", ".join([*named, *([f"{rest:,} of other kinds"] if rest else [])])


def accept_any_name() -> None:
    """Let this process print names of files whatever bytes they are of, in any locale."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
