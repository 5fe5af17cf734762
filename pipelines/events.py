"""What a stage's processes tell the one that started them: JSON lines in a file.

A file, as torchrun hands no pipe on, several machines may share it, and what the stage measured is
still there when the process that should have tracked it was killed.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

EVENTS = "events.jsonl"  # in a stage's folder
POLL = 0.05  # seconds between two looks at the file

Event = dict[str, Any]


class Running(Protocol):
    """A process."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""


class FileReporter:
    """Write what a stage reports; each event is one append, so that processes do not mix lines.

    A line that a crash cut short is ended first: it would swallow the next event.
    """

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(self.file).st_size
        if size and os.pread(self.file, 1, size - 1) != b"\n":
            os.write(self.file, b"\n")

    def progress(self, done: int, total: int, unit: str, **shown: float) -> None:
        """How far the stage is."""
        self.send(event="progress", done=done, total=total, unit=unit, shown=shown)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Metrics."""
        self.send(event="log", values=dict(values), step=step)

    def note(self, text: str) -> None:
        """Something that the user should know."""
        self.send(event="note", text=text)

    def send(self, **event: Any) -> None:
        """Any event, with the milliseconds since 1970."""
        event["time"] = time.time_ns() // 1_000_000
        line = (json.dumps(event) + "\n").encode()
        if os.write(self.file, line) < len(line):  # the disk is full
            os.write(self.file, b"\n")


def read_events(path: Path) -> list[Event]:
    """All events in a file; none if it is missing."""
    try:
        return list(_parse(path.read_text(errors="replace").split("\n")))
    except FileNotFoundError:
        return []


def follow(path: Path, start: int, process: Running) -> Iterator[Event]:
    """Events from the byte `start` on, until `process` has ended."""
    with path.open(errors="replace") as stream:
        stream.seek(start)
        rest, ended = "", False
        while not ended:
            ended = process.poll() is not None
            *lines, rest = (rest + stream.read()).split("\n")
            yield from _parse(lines)
            if not lines:
                time.sleep(POLL)


def _parse(lines: list[str]) -> Iterator[Event]:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # cut short by a crash
            continue
        if isinstance(event, dict) and "event" in event:
            yield event
