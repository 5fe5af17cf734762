"""What a check has found."""

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import shorten
from typing import Literal

LONGEST = 240  # characters of an error


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        mark: how it is.
        name: what was looked at.
        found: what is the case.
        todo: what to do about it, unless it is ok.
    """

    mark: Literal["ok", "warning", "wrong"]
    name: str
    found: str
    todo: str = ""


Findings = Iterator[Finding]


def ok(name: str, found: str) -> Finding:
    """As it should be."""
    return Finding("ok", name, found)


def warning(name: str, found: str, todo: str) -> Finding:
    """Something that works, but may not be what was meant, or not for long."""
    return Finding("warning", name, found, todo)


def wrong(name: str, found: str, todo: str) -> Finding:
    """Something that does not work."""
    return Finding("wrong", name, found, todo)


def first_line(error: BaseException) -> str:
    """An error in one line that is not too long; by its kind if it has no message."""
    lines = str(error).strip().splitlines()
    return shorten(lines[0], LONGEST, placeholder=" ...") if lines else type(error).__name__
