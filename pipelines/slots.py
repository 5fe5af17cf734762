"""Who may compute when: a flow run's own slots, and those that all flow runs of a server share."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound

from pipelines.launch import StageInterrupted, stopping

SHARED = "mae-bench-gpu"  # the global concurrency limit that `mae-bench deploy` makes
PATIENCE = 5.0  # seconds of waiting after which a wish to stop is looked for


class Slots:
    """Slots for stages.

    Args:
        own: how many stages of this flow run go side by side.
    """

    def __init__(self, own: int) -> None:
        self._own = threading.Semaphore(own)
        self._shared = limit_exists()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within the block this stage has a slot; waits for it.

        Raises:
            StageInterrupted: if all stages are asked to stop while it waits.
        """
        with self._own, ExitStack() as held:
            if self._shared:
                held.enter_context(shared_slot())
            yield


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
