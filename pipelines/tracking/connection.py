"""The first contact with where MLflow keeps its runs: an answer or an error, without long waits."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import requests
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from mae_core.locks import lock
from pipelines.stopping import stopping
from pipelines.tracking.patience import PATIENCE, Answer, attempts


def with_driver(uri: str) -> str:
    """A Postgres address with the driver that mae-bench[services] installs, unless it names one.

    SQLAlchemy 2.1 takes `postgresql://` for another, psycopg, and knows no `postgres://`.
    """
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", uri)


def check_answers(url: str) -> None:
    """Raise OSError at once if nothing answers at `url`; MLflow itself tries for minutes."""
    with suppress(requests.exceptions.SSLError):  # MLflow has its own settings for certificates
        requests.head(url, timeout=10)


def check_database(uri: str) -> None:
    """Raise SQLAlchemyError or ImportError at once if nothing answers; MLflow tries for minutes."""
    engine = create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


@contextmanager
def alone_with(database: Path) -> Iterator[None]:
    """Within the block no other process opens the SQLite `database` for the first time.

    MLflow makes the tables of a new one in hundreds of steps, which two processes cannot share. In
    a folder that is only read nobody makes any, and one in memory is a process's own.
    """
    if database.name in ("", ":memory:"):
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with suppress(PermissionError):  # another user's lock of a database that is there, too
            file = held.enter_context(database.with_name(f".{database.name}.lock").open("a+"))
            lock(file)
        yield


def while_locked(ask: Callable[[], Answer]) -> Answer:
    """The answer of a SQLite, which is asked again while another program has it locked."""
    for _ in attempts(threading.Event(), PATIENCE):
        try:
            return ask()
        except (MlflowException, SQLAlchemyError) as error:
            if "database is locked" not in str(error) or stopping():
                raise
            last = error
    raise last
