"""Progress for people: bars in a terminal, plain lines at a readable rate in a log."""

import sys
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 15.0  # seconds between two plain lines of one stage
GIB = 2**30


class Shown(Protocol):
    """Where a stage's progress is shown."""

    def say(self, text: str) -> None:
        """One line."""

    def update(
        self, name: str, done: int, total: int, unit: str, shown: Mapping[str, float]
    ) -> None:
        """`done` of `total` units of the stage `name`; `shown` are numbers beside the bar."""

    def finish(self, name: str, text: str) -> None:
        """The stage is over, and how it ended."""


def in_words(shown: Mapping[str, float]) -> str:
    """{'loss': 0.25, 'images_per_s': 12.0} -> 'loss 0.25, images/s 12'."""
    return ", ".join(f"{key.replace('_per_', '/')} {value:.4g}" for key, value in shown.items())


def duration(hours: float) -> str:
    """Hours as text: '3.2 h', '12 min' or '8 s'."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"


def size(count: int) -> str:
    """Bytes as text: '1.5 GiB' or '20 MiB'."""
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / 2**20:.0f} MiB"


class Display(AbstractContextManager["Display"]):
    """Shows several stages at once; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: dict[tuple[str, str], tuple[float, int]] = {}
        self._printed: dict[str, float] = {}
        self._bars: dict[str, Any] = {}
        self._live = sys.stderr.isatty()
        self._progress = Progress(
            TextColumn("{task.description:>22}", style="bold", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]} {task.fields[shown]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def __reduce__(self) -> tuple[type["Display"], tuple[()]]:
        """Another process prints lines of its own."""
        return Display, ()

    def __enter__(self) -> "Display":
        if self._live:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._progress.stop()

    def say(self, text: str) -> None:
        """One line above the bars."""
        if self._live:
            self._progress.console.print(text, highlight=False, markup=False)
        else:
            print(text, flush=True)

    def update(
        self, name: str, done: int, total: int, unit: str, shown: Mapping[str, float]
    ) -> None:
        """`done` of `total` units of the stage `name`; `shown` are numbers beside the bar."""
        text = in_words(shown)
        with self._lock:
            if self._live:
                self._draw(name, done, total, unit, text)
            else:
                self._print(name, done, total, unit, text)

    def finish(self, name: str, text: str) -> None:
        """The stage is over: take its bar away and say how it ended."""
        with self._lock:
            if name in self._bars:
                self._progress.remove_task(self._bars.pop(name))
        self.say(f"{name}: {text}")

    def _draw(self, name: str, done: int, total: int, unit: str, text: str) -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total, unit=unit, shown=text)
        bar = self._bars[name]
        if self._progress.tasks[self._progress.task_ids.index(bar)].fields["unit"] != unit:
            self._progress.reset(bar)
        self._progress.update(bar, completed=done, total=total, unit=unit, shown=text)

    def _print(self, name: str, done: int, total: int, unit: str, text: str) -> None:
        now = time.monotonic()
        begun, first = self._started.get((name, unit), (now, done))
        if done <= first:  # counted anew, such as the images of another split
            self._started[name, unit] = now, done
            return
        if now - self._printed.get(name, begun) < LINE_EVERY:
            return
        self._printed[name] = now
        left = (now - begun) * (total - done) / (done - first)
        shown = " ".join(filter(None, [f"({done}/{total} {unit}s)", text]))
        minutes, seconds = int(left // 60), int(left % 60)
        print(f"{name}: {done / total:4.0%} {shown}, {minutes}:{seconds:02d} left", flush=True)


class Prefixed:
    """A display of which a part is used: its names and lines begin with a prefix.

    Args:
        display: gets everything.
        prefix: such as 'mask_ratio=0.75'.
    """

    def __init__(self, display: Shown, prefix: str) -> None:
        self.display, self.prefix = display, prefix

    def say(self, text: str) -> None:
        """One line."""
        self.display.say(f"{self.prefix} {text}")

    def update(
        self, name: str, done: int, total: int, unit: str, shown: Mapping[str, float]
    ) -> None:
        """`done` of `total` units."""
        self.display.update(f"{self.prefix} {name}", done, total, unit, shown)

    def finish(self, name: str, text: str) -> None:
        """The stage is over."""
        self.display.finish(f"{self.prefix} {name}", text)
