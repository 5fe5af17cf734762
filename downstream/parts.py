"""A stage of several trainings: each has a part of the progress, its own names, its own folder."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from mmengine.dist import is_main_process

from mae_core.files import replacing, zip_is_whole
from mae_core.stage import Reporter

OUTCOME = "outcome.pt"  # of one part, in its folder


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


def cached_outcome(folder: Path, train: Callable[[Path], torch.Tensor]) -> torch.Tensor:
    """What `train(folder)` returns, from `folder` if it is there from before an interruption.

    One that was damaged since is computed anew.
    """
    record = folder / OUTCOME
    if record.exists() and zip_is_whole(record):
        return torch.load(record, weights_only=True)
    folder.mkdir(parents=True, exist_ok=True)
    outcome = train(folder)
    if is_main_process():
        with replacing(record) as part:
            torch.save(outcome, part)
        for checkpoint in folder.glob("step_*.pth"):
            checkpoint.unlink()
    return outcome
