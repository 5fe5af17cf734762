"""Where a loader's processes leave batches, and what is told when it is too small."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from mae_core.errors import UserError

FOLDER = "/dev/shm"
SIGNS = ("Bus error", "shared memory", "</torch_", "torch_shm_manager")  # in PyTorch's messages
LITTLE = 1 << 20  # bytes that are not even enough for locks


@contextmanager
def enough_shared_memory() -> Iterator[None]:
    """Within the block loaders run.

    Raises:
        UserError: in place of the error of one that had too little shared memory.
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        if not any(sign in str(error) for sign in SIGNS) and not _without_room(error):
            raise
        raise UserError(
            f"the processes that load images have too little shared memory ({_free():,} bytes are "
            f"free in {FOLDER}): set num_workers=0 (mae-bench data: --workers 0), or start the "
            "container with --shm-size=8g"
        ) from error


def _without_room(error: BaseException) -> bool:
    """Whether a lock could not be made: that error names neither file nor folder."""
    named = getattr(error, "filename", None) is not None
    return isinstance(error, OSError) and not named and _free() < LITTLE


def _free() -> int:
    """Bytes; 0 if there is no such folder to write to."""
    try:
        return shutil.disk_usage(FOLDER).free if os.access(FOLDER, os.W_OK) else 0
    except OSError:
        return 0
