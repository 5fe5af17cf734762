"""The Prefect server that the user's settings name, if any, and the worker that started us."""

import os
import signal
import threading
import time

from httpx import HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import get_current_settings

from mae_core.errors import UserError
from pipelines.cells.launch import STARTED_BY_WORKER
from pipelines.service.temporary_server import use_ours
from pipelines.stopping import heard

WATCH_EVERY = 1.0  # seconds


def check_server() -> None:
    """Do nothing if the server that is set answers; without one Prefect starts its own.

    Raises:
        UserError: if the server that `PREFECT_API_URL` or the profile names does not answer, or
            wants another password.
    """
    url = get_current_settings().api.url
    if not url:
        use_ours()
        return
    with get_client(sync_client=True) as client:
        error = client.api_healthcheck() or refusal(client)
    if isinstance(error, HTTPStatusError):
        raise UserError(
            f"the Prefect server at {url} wants another password (HTTP "
            f"{error.response.status_code}): `prefect config set PREFECT_API_AUTH_STRING=...` to "
            "the server's PREFECT_SERVER_API_AUTH_STRING"
        )
    if error:
        raise UserError(
            f"the Prefect server at {url} does not answer ({error}): start it with "
            "`prefect server start`, or run without one: `prefect config unset PREFECT_API_URL`, "
            "and `unset PREFECT_API_URL` where it is a variable of the environment"
        )


def refusal(client: SyncPrefectClient) -> HTTPStatusError | None:
    """What the server says to a user without the right password; its health is told to all."""
    try:
        client.request("GET", "/admin/version")
    except HTTPStatusError as error:
        if error.response.status_code in (401, 403):
            return error
    return None


def require_server() -> str:
    """The address of the server that is set, which answers.

    Raises:
        UserError: if none is set, or as :func:`check_server`.
    """
    url = get_current_settings().api.url
    if not url:
        raise UserError(
            "no Prefect server is set: `prefect server start` in another terminal, with a password "
            "as in README.md, then `prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`"
        )
    check_server()
    return url


def end_with_worker() -> None:
    """Where a worker runs this flow: stop it, as a cancellation would, when the worker dies.

    SIGHUP does the same, as Prefect itself heeds SIGTERM only.
    """
    if STARTED_BY_WORKER not in os.environ:
        return
    worker = os.getppid()
    if threading.current_thread() is threading.main_thread() and signal.SIGHUP in heard():
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))

    def watch() -> None:
        while os.getppid() == worker:
            time.sleep(WATCH_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
