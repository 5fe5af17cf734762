"""The exceptions that are outcomes, not faults, and help for messages."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from mae_core.notices import is_utf8, printable


class UserError(Exception):
    """A mistake of the user: says what was found, what was expected and what to do.

    The CLI prints the message without a traceback and exits with 2. From a data loader's worker the
    error arrives as the text of a traceback, of which only the message is kept.
    """

    def __init__(self, message: str) -> None:
        kind = f"\n{type(self).__module__}.{type(self).__qualname__}: "
        own = message.rpartition(kind)[2].rstrip("\n") if kind in message else message
        super().__init__(printable(own))


class Interrupted(Exception):
    """A training stopped on request, with its state saved."""


def suggest(name: str, choices: Any) -> str:
    """': did you mean X? Choices: ...' for an error message."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.4)
    hint = f": did you mean '{near[0]}'?" if near else "."
    return f"{hint} Choices: {', '.join(sorted(choices))}"


def check_fields(fields: Iterable[str], known: Sequence[str], of: str) -> None:
    """Raise UserError for a field that `of` does not have, with the nearest one."""
    for key in fields:
        if key not in known:
            raise UserError(f"the {of} has no field '{key}'{suggest(key, known)}")


def check_name(path: str) -> None:
    """Raise UserError for the name of a file that configs, MLflow and reports could not hold."""
    if not is_utf8(path):
        raise UserError(
            f"the name {printable(path)} is no UTF-8, which configs and reports need: rename it, "
            "or make a link to it with another name"
        )
