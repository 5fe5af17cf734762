"""A stage's first steps, for real, to know what all of them will take."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from mmengine.config import Config

from mae_core.engine.step_checkpoints import checkpoints
from pipelines.cells import launch
from pipelines.cells.cell import Cell
from pipelines.cells.job import write_job
from pipelines.cells.resources import Resources
from pipelines.cells.warm import Process
from pipelines.errors import StageFailed, StageInterrupted
from pipelines.events import Event
from pipelines.last_net import check_writable

POINTS = 4  # reports of progress; the speed is that between the first and the last
PATIENCE = 180.0  # seconds without one
SECONDS = 20.0  # after which a trial ends at the next report


@dataclass(frozen=True)
class Trial:
    """What the first steps showed.

    Attributes:
        unit: what the stage counts, such as 'step'.
        total: how many of them there are.
        seconds: for one.
        memory: of the stage's processes at the end, bytes.
        checkpoint: of one checkpoint, bytes; 0 if the stage writes none.
    """

    unit: str
    total: int
    seconds: float
    memory: int
    checkpoint: int

    @property
    def hours(self) -> float:
        """For all of them."""
        return self.seconds * self.total / 3600


class _Enough(Exception):
    pass


class _Watch:
    """Notes how far the stage is and what it holds, until that is enough."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.points: list[tuple[float, int]] = []
        self.unit, self.total, self.memory = "", 0, 0

    def __call__(self, event: Event) -> None:
        if event["event"] != "progress":
            return
        if self.unit and event["unit"] != self.unit:
            raise _Enough
        if self.points and event["done"] <= self.points[-1][1]:
            return  # no way was made since the last report
        self.unit, self.total = event["unit"], event["total"]
        self.points.append((time.monotonic(), event["done"]))
        self.memory = max(self.memory, sum(map(resident, launch.running())))
        seconds = self.points[-1][0] - self.points[0][0]
        if len(self.points) >= POINTS or (seconds > SECONDS and len(self.points) > 1):
            raise _Enough

    def seconds(self) -> float:
        """For one; of a stage with a single report an upper bound, as its start counts too."""
        (begun, first), (ended, last) = self.points[0], self.points[-1]
        if last == first:
            return (ended - self.begun) / max(last, 1)
        return (ended - begun) / (last - first)


def time_first_steps(cell: Cell, folder: Path, resources: Resources) -> Trial | None:
    """Run the cell's first steps below `folder`, stop it, and clean up.

    None if it was over, or out of patience, before a report.

    Raises:
        UserError, StageFailed: as :func:`pipelines.cells.launch.launch`.
    """
    watch = _Watch()
    check_writable(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".trial-") as scratch:
        own = Path(scratch) / "stages" / "trial"
        own.mkdir(parents=True)
        job = write_job(replace(cell, config=often_reporting(cell)), own)
        with patience(PATIENCE):
            launch.launch(job, job.with_name("log.txt"), resources, watch)
        if not watch.points:
            return None
        sizes = [path.stat().st_size for path in checkpoints(own)]
    return Trial(watch.unit, watch.total, watch.seconds(), watch.memory, max(sizes, default=0))


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """End with the block once the trial has seen enough, or stop it after `seconds`."""
    lost = threading.Event()

    def lose() -> None:
        lost.set()
        launch.stop(launch.running())

    timer = threading.Timer(seconds, lose)
    timer.start()
    try:
        yield
    except _Enough:
        pass
    except (StageFailed, StageInterrupted):
        if not lost.is_set():
            raise
    finally:
        timer.cancel()


def often_reporting(cell: Cell) -> Config:
    """The cell's config, with a report each step."""
    config = cell.config.copy()
    config.report_interval = 1
    return config


def resident(process: Process) -> int:
    """Bytes that a process and its children hold; those that end meanwhile hold none."""
    held = 0
    with suppress(psutil.Error):
        family = psutil.Process(process.pid)
        for one in [family, *family.children(recursive=True)]:
            with suppress(psutil.Error):
                held += one.memory_info().rss
    return held
