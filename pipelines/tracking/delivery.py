"""A run's points on their way to MLflow: in order, each once, however long a server is away."""

import threading
from contextlib import suppress
from itertools import chain
from queue import Empty, SimpleQueue

from pipelines.events import Event
from pipelines.last_net import disk_fault
from pipelines.tracking.patience import (
    AWAY,
    PATIENCE,
    SHORTLY,
    Undelivered,
    attempts,
    refused,
    undelivered,
)
from pipelines.tracking.tracker import Measured, Tracker

BATCH = 1000  # points in one request, MLflow's limit


class Delivery:
    """Sends what a stage measures, from a thread of its own, so that no stage waits for it.

    As a context it waits at the end until all is sent, shortly if the block has failed. The stage's
    events file keeps everything.

    Args:
        tracker: where to.
        run_id: of the run.
        patience: seconds to wait at the end for a server that is away.
    """

    def __init__(self, tracker: Tracker, run_id: str, patience: float = PATIENCE) -> None:
        self.tracker, self.run_id, self.patience = tracker, run_id, patience
        self._waiting: SimpleQueue[Event | None] = SimpleQueue()
        self._seen: dict[str, int] | None = None  # the last step of each metric; None if unknown
        self._given_up = threading.Event()
        self._refused: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Delivery":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close(self.patience)
            return
        with suppress(Undelivered):
            self.close(min(self.patience, SHORTLY))

    def add(self, event: Event) -> None:
        """Send what the event measured, unless it is logged already; does not wait."""
        if event["event"] == "log":
            self._waiting.put(event)

    def close(self, patience: float) -> None:
        """Wait until everything is sent.

        Raises:
            Undelivered: if the server is away for longer than `patience` seconds, or refuses.
        """
        self._waiting.put(None)
        self._thread.join(patience)
        away = self._thread.is_alive()
        self._given_up.set()
        if away or self._refused:
            why = f"did not answer for {patience:.0f} s" if away else f"refuses: {self._refused}"
            raise undelivered(self.tracker.place, why)

    def _work(self) -> None:
        ended = False
        while not ended:
            events, ended = self._next()
            if events:
                self._send(events)

    def _next(self) -> tuple[list[Event], bool]:
        """What waits, at least one event, and whether that is all."""
        found, first = [], self._waiting.get()
        while first is not None:
            found.append(first)
            try:
                first = self._waiting.get_nowait()
            except Empty:
                return found, False
        return found, True

    def _send(self, events: list[Event]) -> None:
        for _ in attempts(self._given_up):
            try:
                return self._log(events)
            except AWAY as error:
                if refused(error) or disk_fault(error):
                    self._refused = error
                    return
                self._seen = None  # it may have taken the points without our knowing

    def _log(self, events: list[Event]) -> None:
        if self._seen is None:
            self._seen = self.tracker.last_steps(self.run_id)
        points = list(chain.from_iterable(map(self._unseen, events)))
        for start in range(0, len(points), BATCH):
            self.tracker.measured(self.run_id, points[start : start + BATCH])

    def _unseen(self, event: Event) -> list[Measured]:
        """The event's points whose step is new, which it is no longer."""
        assert self._seen is not None
        step, values = event["step"], event["values"]
        new = {key: value for key, value in values.items() if step > self._seen.get(key, -1)}
        self._seen.update(dict.fromkeys(new, step))
        return [(key, value, event["time"], step) for key, value in new.items()]
