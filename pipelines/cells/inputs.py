"""What a stage reads stays the same while it runs, or its result is refused."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import strftime
from typing import TYPE_CHECKING

from mae_core.data.state import data_state
from mae_core.errors import UserError
from pipelines.cells.folder import CONFIG, JOB, LOCK
from pipelines.identity import code_of, inputs, listings_read, look_again, paths_read

if TYPE_CHECKING:
    from mmengine.config import Config

KEPT = (LOCK, JOB, CONFIG)  # of a stage's folder, when what it computed is set aside
AGAIN = "run the same command again: it computes with what is there now"


class Inputs:
    """Code, encoder and data of a stage, as its own process finds them.

    Args:
        config: of the stage.
        encoder: as the stage takes it.
        expected: what the stage's fingerprint was made of, see
            :func:`pipelines.identity.inputs`; empty if nobody keeps the result.

    Raises:
        UserError: if something is already other than expected.
    """

    def __init__(self, config: "Config", encoder: str, expected: Mapping[str, str]) -> None:
        self.config, self.encoder = config.copy(), encoder  # the stage may change its config
        self.paths = paths_read(config, encoder)
        self.digests = dict(expected)
        if not expected:
            return
        self.state = self._state()
        if changed := self._changed():
            raise UserError(
                f"not computed: {changed} changed since this run began, so that the number would "
                f"be kept as that of what was there before; {AGAIN}"
            )

    def check(self, folder: Path) -> str:
        """Why what the stage computed is refused, '' if nothing has changed.

        What a training left to be resumed goes with it, unless only code has changed, which a
        process reads when it starts: then the training goes on where that code is back.

        Args:
            folder: of the stage.
        """
        if not self.digests:
            return ""
        look_again()
        touched = self._state() != self.state
        if not touched and self.digests["code"] == code_of(self.config):
            return ""
        changed = self._changed() or f"files below {', '.join(self.paths.values())}"
        refused = f"refused: {changed} changed while the stage ran"
        if not touched:
            return f"{refused}; {AGAIN}"
        return f"{refused}; what it computed belongs to neither, see {aside(folder)}; {AGAIN}"

    def _state(self) -> str:
        return data_state(self.paths.values(), listings_read(self.config))

    def _changed(self) -> str:
        """What differs from what is expected, in words."""
        try:
            found = inputs(self.config, self.encoder)
        except (UserError, OSError) as error:
            return f"what the stage reads ({error})"
        names = [name for name, digest in self.digests.items() if found.get(name) != digest]
        told = [f"{name} ({self.paths[name]})" if name in self.paths else name for name in names]
        return f"{', '.join(told)} on {socket.gethostname()}" if told else ""


def aside(folder: Path, why: str = "refused") -> Path:
    """Move what a stage left into a folder of its own below, but for its log; that folder.

    Args:
        folder: of the stage.
        why: begins the name of the new one: 'refused' or 'before'.
    """
    place = folder / strftime(f"{why}-%Y%m%d-%H%M%S")
    place.mkdir(exist_ok=True)
    for path in sorted(folder.iterdir()):
        own = path.name in KEPT or path.name.startswith(("log", "refused-", "before-"))
        if not own:
            with suppress(FileNotFoundError):  # another machine that found the same was first
                path.rename(place / path.name)
    return place
