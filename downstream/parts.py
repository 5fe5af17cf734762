"""A stage of several trainings: each has a part of the progress, its own names, its own folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import ZipFile

import torch
from mmengine.dist import is_main_process

from mae_core.files import replacing
from mae_core.stage import Reporter


class PartReporter:
    """Reports part `number` of `parts` to the stage's reporter; its metrics get `name` before."""

    def __init__(self, reporter: Reporter, name: str, number: int, parts: int) -> None:
        self.reporter = reporter
        self.name = name
        self.number, self.parts = number, parts

    def progress(self, done: int, total: int, unit: str, **shown: float) -> None:
        """Progress of the whole, parts of equal length taken for granted."""
        self.reporter.progress(self.number * total + done, self.parts * total, unit, **shown)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Metrics of this part."""
        self.reporter.log({f"{self.name}/{key}": value for key, value in values.items()}, step)

    def note(self, text: str) -> None:
        """A note about this part."""
        self.reporter.note(f"{self.name}: {text}")


def kept(folder: Path, train: Callable[[Path], torch.Tensor]) -> torch.Tensor:
    """What `train(folder)` returns, from `folder` if it is there from before an interruption."""
    record = folder / "outcome.pt"
    known = outcome_in(record)
    if known is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    outcome = train(folder)
    if is_main_process():
        with replacing(record) as part:
            torch.save(outcome, part)
        for checkpoint in folder.glob("step_*.pth"):
            checkpoint.unlink()
    return outcome


def outcome_in(record: Path) -> torch.Tensor | None:
    """The tensor in a file of :func:`kept`; None if it is not there or damaged."""
    try:
        with ZipFile(record) as content:  # torch itself does not look at the checksums
            if content.testzip() is not None:
                return None
        return torch.load(record, weights_only=True)
    except Exception:  # a damaged pickle raises anything
        return None
