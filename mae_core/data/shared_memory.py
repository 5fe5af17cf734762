"""Where a loader's processes leave batches, and what is done when it is too small."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from mae_core.engine.hooks import random_state, set_random_state
from mae_core.errors import UserError
from mae_core.notices import say

FOLDER = "/dev/shm"
SIGNS = ("Bus error", "shared memory", "</torch_", "torch_shm_manager")  # in PyTorch's messages
LOCKS = 1 << 20  # bytes, more than enough for those
AHEAD = 2  # batches that each process prepares
UNKNOWN = 3 << 20  # bytes of an item that cannot be looked at: 1024×1024 pixels


def workers_for(
    dataset: Any, batch_size: int, workers: int, tell: Callable[[str], None] = say
) -> int:
    """`workers`, or 0 if the shared memory is too small for their batches, which is told.

    Fewer processes change the speed, not the batches.

    Args:
        dataset: whose first item is looked at; a config, or None, is taken for one of large images.
        batch_size: items of a batch.
        workers: processes of the loader.
        tell: gets the sentence.
    """
    if not workers:
        return 0
    needed, free = LOCKS + workers * AHEAD * batch_size * _first(dataset), _free()
    if free >= needed:
        return workers
    tell(
        f"images are loaded without processes of their own, which is slower: {workers} would need "
        f"{needed >> 20:,} MiB of shared memory, {FOLDER} has {free >> 20:,} free (start a "
        "container with --shm-size=8g)"
    )
    return 0


@contextmanager
def enough_shared_memory() -> Iterator[None]:
    """Within the block loaders run.

    Raises:
        UserError: in place of the error of one that had too little shared memory.
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        if not any(sign in str(error) for sign in SIGNS):
            raise
        raise UserError(
            f"the processes that load images have too little shared memory ({_free():,} bytes are "
            f"free in {FOLDER}): set num_workers=0 (mae-bench data: --workers 0), or start the "
            "container with --shm-size=8g"
        ) from error


def _first(dataset: Any) -> int:
    """Bytes of the first item's tensors."""
    if dataset is None or isinstance(dataset, Mapping):
        return UNKNOWN
    before = random_state()  # mm's transforms draw from it
    try:
        return max(_bytes(dataset[0]), 1)
    except (UserError, OSError, ValueError, IndexError):
        return UNKNOWN  # an item that cannot be had is told by the loader
    finally:
        set_random_state(before)


def _bytes(item: Any) -> int:
    if isinstance(item, Tensor):
        return item.nbytes
    parts = item.values() if isinstance(item, Mapping) else item
    return sum(map(_bytes, parts)) if isinstance(item, Mapping | list | tuple) else 0


def _free() -> int:
    """Bytes; 0 if there is no such folder to write to."""
    try:
        return shutil.disk_usage(FOLDER).free if os.access(FOLDER, os.W_OK) else 0
    except OSError:
        return 0
