"""Locks between processes: a file that one of them has open."""

import errno
import fcntl
import os
from typing import IO

from mae_core.errors import UserError

NONE_HERE = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def lock(file: IO[str], shared: bool = False, wait: bool = True) -> bool:
    """Whether `file` is locked now, until it is closed.

    Args:
        file: open for reading and writing: a shared file system wants both.
        shared: with all that ask for the same, and without those that want it alone.
        wait: for the process that has it; without, False comes at once.

    Raises:
        UserError: if the file system has no locks. Going on without one, two processes would
            write the same files.
    """
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NONE_HERE:
            raise
        why = os.strerror(error.errno)
        raise UserError(
            f"{file.name} cannot be locked: its file system has no locks ({why}). Choose a "
            "folder on another one (--work-dir for results, XDG_CACHE_HOME for the "
            "cache, MLFLOW_TRACKING_URI for MLflow's database), or have it mounted with locks "
            "(Lustre: -o flock)"
        ) from error
    return True
