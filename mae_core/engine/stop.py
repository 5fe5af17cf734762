"""The wish to stop: SIGTERM and SIGINT, heard at the next step instead of at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_requested = threading.Event()


def stop_requested() -> bool:
    """Whether the process was asked to stop within :func:`heeding_signals`."""
    return _requested.is_set()


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Within the block SIGTERM and SIGINT only set :func:`stop_requested`; main thread only."""

    def note(*_: Any) -> None:
        _requested.set()

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _requested.clear()
