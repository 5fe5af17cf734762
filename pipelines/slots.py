"""Who may compute when: a flow run's own slots, and those that all flow runs of a server share."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from threading import Event

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound

from pipelines.launch import StageInterrupted, stopping

SHARED = "mae-bench-gpu"  # the global concurrency limit that `mae-bench deploy` makes
COMING = 60.0  # seconds that a cell may take to ask for a slot before others are let in
PATIENCE = 5.0  # seconds of waiting after which a wish to stop is looked for
LEASE = 120  # seconds after which the slot of a killed flow run is free again
WAITING = "ConcurrencySlotAcquisitionWithLeaseService"  # Prefect's; to it a timeout is an error
logging.getLogger("prefect._internal.concurrency").addFilter(
    lambda record: WAITING not in record.getMessage()
)


class Slots:
    """Slots for stages.

    Args:
        own: how many stages of this flow run go side by side.
        gpus: of this machine, dealt out to the slots in turn.
        devices: GPUs of a slot.
    """

    def __init__(self, own: int, gpus: tuple[str, ...] = (), devices: int = 1) -> None:
        self._free: SimpleQueue[tuple[str, ...] | None] = SimpleQueue()
        for slot in range(own):
            self._free.put(share(gpus, slot, devices))
        self._shared = limit_exists()
        self._came: dict[str, Event] = {}

    def came(self, name: str) -> None:
        """The cell has asked for a slot, or does not need one."""
        self._came.setdefault(name, Event()).set()

    def let_come(self, name: str) -> None:
        """Wait for the cell to come, so that who is started afterwards asks after it."""
        self._came.setdefault(name, Event()).wait(COMING)

    @contextmanager
    def taken(self, name: str = "") -> Iterator[tuple[str, ...] | None]:
        """Within the block the cell has a slot; waits for it.

        Yields:
            The slot's GPUs; None on a machine without any.

        Raises:
            StageInterrupted: if all stages are asked to stop while it waits.
        """
        self.came(name)
        gpus = self._free.get()
        try:
            with ExitStack() as held:
                if self._shared:
                    held.enter_context(shared_slot())
                yield gpus
        finally:
            self._free.put(gpus)


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
