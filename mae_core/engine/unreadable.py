"""Images that cannot be read: replaced by the data set, counted, listed, and limited here."""

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mae_core.errors import UserError
from mae_core.notices import printable
from mae_core.stage import Reporter

LIST = "unreadable.txt"
LINES = "surrogateescape"  # names of files may be any bytes


class UnreadableHook(Hook):
    """Lists in `unreadable.txt` what `ImageDataset` with `skip_unreadable` replaced.

    Args:
        reporter: gets told of each image once, and of their number at the end.
        limit: share of an epoch's draws that may be replaced, 0 to 1.

    Raises:
        UserError: as soon as the limit is exceeded.
    """

    def __init__(self, reporter: Reporter, limit: float = 0.01) -> None:
        self.reporter, self.limit = reporter, limit
        self.replaced = self.drawn = 0

    def before_train(self, runner: Runner) -> None:
        """Go on with the list of a stopped run."""
        self.path = Path(runner.work_dir) / LIST
        known = self.path.read_text(errors=LINES) if self.path.exists() else ""
        self.names = set(known.split("\n")) - {""}

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at the batch as it came from the loader; nothing waits for the device."""
        if not isinstance(data_batch, dict) or "unreadable" not in data_batch:
            return
        marks = data_batch["unreadable"]
        found = marks[marks >= 0].tolist()
        self.drawn, self.replaced = self.drawn + len(marks), self.replaced + len(found)
        loader = runner.train_dataloader
        for index in found:
            self._note(loader.dataset.source.name(index))
        if self.replaced > self.limit * max(self.drawn, len(loader) * loader.batch_size):
            raise UserError(
                f"{self.replaced} of {self.drawn} images cannot be read, more than a share of "
                f"{self.limit:g}; they are listed in {self.path}. Repair or delete them, or raise "
                "max_unreadable"
            )

    def after_train(self, runner: Runner) -> None:
        """Say how many there were."""
        if self.names:
            self.reporter.note(
                f"{len(self.names)} images could not be read and were replaced by others; they are "
                f"listed in {self.path}"
            )

    def _note(self, name: str) -> None:
        if name not in self.names:
            self.names.add(name)
            with self.path.open("a", errors=LINES) as stream:
                stream.write(f"{name}\n")
            self.reporter.note(f"{printable(name)} cannot be read and is skipped")
