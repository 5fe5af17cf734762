"""Variables of the environment: those that ours run with, of passwords, of where data lies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mae_core.data.roots import DATA

# In the names of variables that hold a password, or lead to one.
SECRET = ("PASSWORD", "SECRET", "TOKEN", "KEY", "AUTH", "NOTIFY", "CREDENTIAL")
ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Doubled pauses: a server may be away for four minutes.
    "PREFECT_CLIENT_MAX_RETRIES": "7",
    # A first start makes a database; a busy laptop takes longer than Prefect's 20 seconds.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Batches on huge pages: their allocation takes a third of the time.
    "THP_MEM_ALLOC_ENABLE": "1",
    # Progress is shown by us; a Prefect worker logs it (see prefect.yaml).
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}


@contextmanager
def data_below(folder: str | None) -> Iterator[None]:
    """Within the block relative paths of data are below `folder`, in the stages' processes too."""
    before = os.environ.get(DATA)
    if folder:
        os.environ[DATA] = str(Path(folder).expanduser().absolute())
    try:
        yield
    finally:
        os.environ.pop(DATA, None)
        if before is not None:
            os.environ[DATA] = before
