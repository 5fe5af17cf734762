"""Patience with a server that is away: again after growing pauses, unless it is in vain."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from mae_core.errors import UserError
from pipelines.errors import StageFailed
from pipelines.last_net import disk_fault
from pipelines.stopping import stopping

Answer = TypeVar("Answer")

AWAY = (MlflowException, requests.RequestException, SQLAlchemyError, OSError)
AGAIN = 1.0  # seconds after which a server that is away is tried again, doubled each time
LONGEST = 30.0  # seconds between two tries at most
PATIENCE, SHORTLY = 600.0, 5.0  # seconds


class Undelivered(StageFailed):
    """MLflow did not take what a stage measured or made; everything is kept on disk."""


def undelivered(place: str, why: str) -> Undelivered:
    """The error of a server at `place`, of which `why` tells, such as 'did not answer'."""
    return Undelivered(
        f"MLflow at {place} {why}; what was measured is kept on disk, and sent when the same "
        "command is run again"
    )


def attempts(given_up: threading.Event, seconds: float = math.inf) -> Iterator[None]:
    """Comes at once, and again after each pause, until `seconds` have passed or it is given up."""
    end, pause = time.monotonic() + seconds, AGAIN
    while not given_up.is_set():
        yield
        left = end - time.monotonic()
        if left <= 0:
            return
        given_up.wait(min(pause, left))
        pause = min(2 * pause, LONGEST)


def patiently(action: Callable[[], Answer], place: str, seconds: float | None = None) -> Answer:
    """Do what a server that is away can interrupt, from its start until it succeeds; its value.

    Args:
        action: what repeats nothing that is done already.
        place: of the server, for the message.
        seconds: to try for, PATIENCE without it; only once if all stages are asked to stop.

    Raises:
        Undelivered: if the server is away for longer, or refuses.
        UserError: if the disk of its database is full or read-only, which no patience mends.
    """
    seconds = PATIENCE if seconds is None else seconds
    for _ in attempts(threading.Event(), seconds):
        try:
            return action()
        except AWAY as error:
            if told := disk_fault(error):
                ours = isinstance(error, OSError)  # a file that was to be sent, or came
                raise UserError(told if ours else f"MLflow at {place}: {told}") from error
            if refused(error):
                raise undelivered(place, f"refuses: {error}") from error
            last = error
        if stopping():
            break
    raise undelivered(place, f"did not answer for {seconds:.0f} s ({last})") from last


def refused(error: BaseException | None) -> bool:
    """Whether the server has answered that it does not take this, now or later."""
    while error:
        if 400 <= http_status(error) < 500:
            return True
        error = error.__cause__ or error.__context__
    return False


def http_status(error: BaseException) -> int:
    """The HTTP status that MLflow, requests or botocore has for an error; 0 if none."""
    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return int(getattr(response, "status_code", 0))
