"""The Prefect server that the user's settings name, if any, and the worker that started us."""

import os
import signal
import threading
import time

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from mae_core.errors import UserError
from pipelines.launch import STARTED_BY_WORKER

FLOW_NAME, SWEEP_FLOW = "mae-full-benchmark", "mae-sweep"
INCOMPLETE = "Incomplete"  # state of a flow run in which a cell failed
WATCH_EVERY = 1.0  # seconds


def check_server() -> None:
    """Do nothing if no server is set (Prefect then starts one of its own) or it answers.

    Raises:
        UserError: if the server that `PREFECT_API_URL` or the profile names does not answer.
    """
    url = get_current_settings().api.url
    if not url:
        return
    with get_client(sync_client=True) as client:
        error = client.api_healthcheck()
    if error:
        raise UserError(
            f"the Prefect server at {url} does not answer ({error}): start it with "
            "`prefect server start`, or run without one: `prefect config unset PREFECT_API_URL`, "
            "and `unset PREFECT_API_URL` where it is a variable of the environment"
        )


def require_server() -> str:
    """The address of the server that is set, which answers.

    Raises:
        UserError: if none is set, or as :func:`check_server`.
    """
    url = get_current_settings().api.url
    if not url:
        raise UserError(
            "no Prefect server is set: `prefect server start` in another terminal, then "
            "`prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`"
        )
    check_server()
    return url


def end_with_worker() -> None:
    """Where a worker runs this flow: stop it, as a cancellation would, when the worker dies."""
    if STARTED_BY_WORKER not in os.environ:
        return
    worker = os.getppid()

    def watch() -> None:
        while os.getppid() == worker:
            time.sleep(WATCH_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
