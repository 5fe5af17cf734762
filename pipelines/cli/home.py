"""'~' in what a command is given: a shell leaves the one in `--out=~/x` as it is."""

import os
from typing import Any

from typer.core import TyperGroup


class HomeGroup(TyperGroup):
    """Commands in whose arguments '~' means the home folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Expand, then parse."""
        return super().parse_args(ctx, [home_of(arg) for arg in args])


def home_of(argument: str) -> str:
    """`~/x` and `--option=~/x` with the home folder in place of '~'."""
    option, equals, value = argument.partition("=")
    if equals and option.startswith("--"):
        return f"{option}={os.path.expanduser(value)}"
    return os.path.expanduser(argument)
