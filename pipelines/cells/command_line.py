"""The shell line that computes a run again, kept with it in MLflow."""

import os
import shlex
from collections.abc import Sequence

from mae_core.data.roots import DATA

LIMIT = 8000  # characters of a tag; a line that MLflow cut would do something else


def command_line(*words: str, overrides: Sequence[str] = (), devices: int | None = None) -> str:
    """Such as `mae-bench run demo -o seed=1`, for the folder in which it was started.

    Args:
        words: the command, its config or recipe, and options, without work dir.
        overrides: `key=value`.
        devices: that were asked for, None if none were.

    Returns:
        The line, with the folder of data if one is set; '' if it is too long for a tag.
    """
    options = [word for override in overrides for word in ("-o", override)]
    if devices:
        options += ["--devices", str(devices)]
    line = shlex.join(["mae-bench", *words, *options])
    if root := os.environ.get(DATA):
        line = f"{DATA}={shlex.quote(root)} {line}"
    return line if len(line) <= LIMIT else ""
