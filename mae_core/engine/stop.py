"""The wish to stop: SIGTERM, SIGINT, SIGHUP, heard at the next step instead of at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.dataset import worker_init_fn
from mmengine.registry import FUNCTIONS

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_requested = threading.Event()


def stop_requested() -> bool:
    """Whether the process was asked to stop within :func:`deferring_signals`."""
    return _requested.is_set()


@contextmanager
def deferring_signals() -> Iterator[None]:
    """Within the block SIGNALS only set :func:`stop_requested`; main thread only.

    SIGHUP stays ignored if it is, as `nohup` starts a command.
    """

    def note(*_: Any) -> None:
        _requested.set()

    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    heard = SIGNALS[:2] if ignored else SIGNALS
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _requested.clear()


@FUNCTIONS.register_module()
def worker_ignoring_signals(worker_id: int, num_workers: int, rank: int, seed: int) -> None:
    """Start of a loader's process: mmengine's seeds, and an ear for its own parent only.

    Signals reach the whole process group, and the training still needs its loader for the step
    that it is in. A SIGTERM from the process that it loads for ends it.
    """
    worker_init_fn(worker_id, num_workers, rank, seed)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parents_sigterm, daemon=True).start()


def _end_with_parents_sigterm() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
