"""A stage's progress in Prefect's UI."""

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from pipelines.display import Shown, in_words

EVERY = 5.0  # seconds between two updates


class StageProgress:
    """A display that also keeps a progress artifact of one stage.

    Args:
        display: gets everything.
        name: of the cell, such as 'detect[mae]'.
    """

    def __init__(self, display: Shown, name: str) -> None:
        self.display, self.key = display, artifact_key(name)
        self.artifact: UUID | None = None
        self.shown = 0.0

    def say(self, text: str) -> None:
        """One line."""
        self.display.say(text)

    def update(
        self, name: str, done: int, total: int, unit: str, shown: Mapping[str, float]
    ) -> None:
        """`done` of `total` units; the artifact follows every few seconds."""
        self.display.update(name, done, total, unit, shown)
        now = time.monotonic()
        if now - self.shown < EVERY:
            return
        self.shown = now
        percent = 100 * done / max(total, 1)
        text = ", ".join(filter(None, [f"{name}: {done} of {total} {unit}s", in_words(shown)]))
        self._keep(percent, text)

    def finish(self, name: str, text: str) -> None:
        """The stage is over."""
        if self.artifact is not None:
            self._keep(100.0, f"{name}: {text}")
        self.display.finish(name, text)

    def _keep(self, percent: float, text: str) -> None:
        with suppress(Exception):  # a server that is away for a while is no reason to stop a stage
            if self.artifact is None:
                self.artifact = cast(UUID, create_progress_artifact(percent, self.key, text))
            else:
                update_progress_artifact(self.artifact, percent, text)


def artifact_key(name: str) -> str:
    """What Prefect allows as a key: 'detect[mae]#1' -> 'detect-mae-1'."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
