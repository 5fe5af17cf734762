"""Values out of a file of unknown content: what they are, and how a message shows them."""

import math
from reprlib import Repr
from typing import Any

LARGEST = 1 << 53  # whole numbers above it are not themselves as fractions
SHOWN = 500  # letters of a text

_short = Repr()
_short.maxlist = _short.maxdict = 6
_short.maxstring = _short.maxother = _short.maxlong = 60


def told(value: Any) -> str:
    """A value as a message shows it: short, and only letters that can be printed."""
    return _short.repr(value)


def plain(text: str) -> str:
    """A name or path as a message shows it: without quotes, and only what can be printed."""
    letters = (letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[:SHOWN])
    return "".join(letters) + ("..." if len(text) > SHOWN else "")


def is_number(value: Any) -> bool:
    """Whether it is a finite number that can be computed with."""
    if isinstance(value, float):
        return math.isfinite(value) and abs(value) <= LARGEST
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def whole(value: Any) -> int | None:
    """A whole number, such as 3 or 3.0; None for anything else."""
    return int(value) if is_number(value) and value == int(value) else None


def is_name(value: Any) -> bool:
    """Whether it is a text that files and pictures can hold."""
    if not isinstance(value, str) or not value.strip():
        return False
    # Control characters and halves of surrogate pairs have no place in either.
    return not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in value)
