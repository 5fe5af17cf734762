"""Who may compute when: a flow run's own slots, and those that all flow runs of a server share."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Condition

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound

from pipelines.errors import StageInterrupted
from pipelines.stopping import stopping

SHARED = "mae-bench-gpu"  # the global concurrency limit that `mae-bench deploy` makes
COMING = 60.0  # seconds that an expected cell may take to ask before others are let in
PATIENCE = 5.0  # seconds of waiting after which a wish to stop is looked for
LEASE = 120  # seconds after which the slot of a killed flow run is free again
WAITING = "ConcurrencySlotAcquisitionWithLeaseService"  # Prefect's; to it a timeout is an error
logging.getLogger("prefect._internal.concurrency").addFilter(
    lambda record: WAITING not in record.getMessage()
)


class Slots:
    """Slots for stages.

    A free slot goes to the most urgent of the cells that wait. While one that is about to come is
    still on its way, others wait a little, so that it does not find its slot taken.

    Args:
        own: how many stages of this flow run go side by side.
        gpus: of this machine, dealt out to the slots in turn.
        devices: GPUs of a slot.
        urgency: names of the cells, the most urgent first; others come after them, as they come.
    """

    def __init__(
        self,
        own: int,
        gpus: tuple[str, ...] = (),
        devices: int = 1,
        urgency: Sequence[str] = (),
    ) -> None:
        self._free = [share(gpus, slot, devices) for slot in reversed(range(own))]
        self._shared = limit_exists()
        self._rank = {name: rank for rank, name in enumerate(urgency)}
        self._waiting: list[str] = []
        self._coming: set[str] = set()
        self._come_by = 0.0
        self._changed = Condition()

    def expect(self, names: Iterable[str]) -> None:
        """These cells ask for a slot in a moment, or do not need one."""
        with self._changed:
            self._coming.update(names)
            self._come_by = time.monotonic() + COMING

    def arrived(self, name: str) -> None:
        """The cell has asked for a slot, or does not need one."""
        with self._changed:
            self._coming.discard(name)
            self._changed.notify_all()

    @contextmanager
    def acquire(self, name: str = "") -> Iterator[tuple[str, ...] | None]:
        """Within the block the cell has a slot; waits for it.

        Yields:
            The slot's GPUs; None on a machine without any.

        Raises:
            StageInterrupted: if all stages are asked to stop while it waits.
        """
        gpus = self._wait(name)
        try:
            with ExitStack() as held:
                if self._shared:
                    held.enter_context(shared_slot())
                yield gpus
        finally:
            with self._changed:
                self._free.append(gpus)
                self._changed.notify_all()

    def _wait(self, name: str) -> tuple[str, ...] | None:
        with self._changed:
            self._waiting.append(name)
            self._coming.discard(name)
            self._changed.notify_all()
            try:
                while not self._is_next(name):
                    if stopping():
                        raise StageInterrupted("stopped while it waited for a slot")
                    self._changed.wait(PATIENCE)
                return self._free.pop()
            finally:
                self._waiting.remove(name)
                self._changed.notify_all()

    def _is_next(self, name: str) -> bool:
        if not self._free or (self._coming and time.monotonic() < self._come_by):
            return False
        return name == min(self._waiting, key=lambda other: self._rank.get(other, len(self._rank)))


def share(gpus: tuple[str, ...], slot: int, devices: int) -> tuple[str, ...] | None:
    """A slot's GPUs: the next `devices` in turn, or all if there are fewer; None of none.

    >>> share(("0", "1", "2", "3"), slot=1, devices=2)
    ('2', '3')
    """
    if not gpus:
        return None
    start = slot * devices
    return tuple(gpus[number % len(gpus)] for number in range(start, start + devices))[: len(gpus)]


@contextmanager
def shared_slot() -> Iterator[None]:
    """One of the server's slots. A lost lease is no reason to stop a day's training."""
    with ExitStack() as held:
        while True:
            if stopping():
                raise StageInterrupted("stopped while it waited for a slot")
            slot = concurrency(
                SHARED,
                timeout_seconds=PATIENCE,
                lease_duration=LEASE,
                strict=True,
                raise_on_lease_renewal_failure=False,
            )
            try:
                held.enter_context(slot)
            except TimeoutError:
                continue
            break
        yield


def limit_exists() -> bool:
    """Whether the Prefect server has the limit: those that nobody deployed to have not."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(SHARED)
        except ObjectNotFound:
            return False
    return True
