"""Signals that ask a command to stop, and what they do: end it at once, or raise KeyboardInterrupt.

Imports nothing of ours: a signal may come in the first second, while everything else is imported.
"""

import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 75  # the command's exit code
MESSAGE = "interrupted; run the same command again to continue"

_stages_stop = threading.Event()  # all stages that this process has started, or is about to


def is_command() -> bool:
    """Whether this process is `mae-bench`, or `python -m pipelines.cli.main`."""
    program = Path(sys.argv[0])
    return program.name == "mae-bench" or program.parts[-3:] == ("pipelines", "cli", "main.py")


def heard() -> tuple[signal.Signals, ...]:
    """The signals to heed: SIGHUP not where it is ignored, as `nohup` starts a command."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return SIGNALS[:2] if ignored else SIGNALS


def raise_when_asked() -> None:
    """From now on a wish to stop is a KeyboardInterrupt in the main thread."""

    def interrupt(number: int, _: Any) -> None:
        if number == signal.SIGHUP:
            leave_terminal()
        raise KeyboardInterrupt

    for number in heard():
        signal.signal(number, interrupt)


def heed_interrupts() -> None:
    """SIGINT is a KeyboardInterrupt, also where whoever started this process ignored it.

    A shell does for what it starts with `&`. Ray's workers inherit that, and are cancelled by it.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def leave_terminal() -> None:
    """Write to nowhere from now on: a closed terminal takes no word, which would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        if stat.S_ISCHR(os.fstat(output).st_mode):
            os.dup2(nowhere, output)
    os.close(nowhere)


def end_when_asked(code: int = INTERRUPTED, message: str = MESSAGE) -> None:
    """From now on a wish to stop ends the process at once: nothing has begun, or all is done."""

    def end(*_: Any) -> None:
        with suppress(OSError):  # a terminal that was closed
            os.write(2, f"{message}\n".encode() if message else b"")
        os._exit(code)

    for number in heard():
        signal.signal(number, end)


@contextmanager
def before_the_start() -> Iterator[None]:
    """In the block, of imports, a wish to stop ends the process at once.

    A KeyboardInterrupt amid an import may be swallowed by the library, or break it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in heard()}
    end_when_asked()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ignoring_signals() -> Iterator[None]:
    """Ignore further wishes to stop in the block: a second Ctrl-C would leave processes behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, signal.SIG_IGN) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)


def stopping() -> bool:
    """Whether all stages of this process are asked to stop."""
    return _stages_stop.is_set()


def stop_stages() -> None:
    """From now on :func:`stopping` is true, and no stage starts."""
    _stages_stop.set()


def let_stages_start() -> None:
    """Stages may start again."""
    _stages_stop.clear()
