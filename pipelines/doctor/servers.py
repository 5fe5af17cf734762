"""Prefect's server and MLflow's store, as the settings name them."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipelines.doctor.finding import Findings, first_line, ok, warning, wrong
from pipelines.doctor.hardware import existing, fault_of

PATIENCE = 5  # seconds that a server has


def check_prefect() -> Findings:
    """The server, if one is set, takes our questions."""
    import prefect
    from prefect.client.orchestration import get_client
    from prefect.settings import (
        PREFECT_CLIENT_MAX_RETRIES,
        get_current_settings,
        temporary_settings,
    )

    url, home = get_current_settings().api.url, get_current_settings().home
    if not url:
        if fault := fault_of(existing(home)):
            yield wrong("Prefect", f"{home} cannot be written: {fault}", "set PREFECT_HOME")
        else:
            yield ok("Prefect", f"{prefect.__version__}, no server is set: each run starts its own")
        return
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        try:
            with get_client({"timeout": PATIENCE}, sync_client=True) as client:
                version = client.api_version()
        except Exception as error:  # of httpx and Prefect
            yield wrong(
                "Prefect",
                f"{url} does not answer as it should: {first_line(cause(error))}",
                "start it (`prefect server start`), set PREFECT_API_AUTH_STRING if it wants a "
                "password, or run without: `prefect config unset PREFECT_API_URL`",
            )
            return
    if version.split(".")[:2] != prefect.__version__.split(".")[:2]:
        found = f"{url} is of version {version}, here is {prefect.__version__}"
        yield warning("Prefect", found, "bring both to the same version")
    else:
        yield ok("Prefect", f"{version} at {url}")


def check_mlflow() -> Findings:
    """The store takes our questions; one in a file can be written."""
    from pipelines.tracking.tracker import (
        SQLITE,
        shown,
        tracking_uri,
        with_driver,
        without_password,
    )

    uri = with_driver(without_password(tracking_uri()))
    if uri.startswith(SQLITE):
        path = Path(uri.removeprefix(SQLITE)).absolute()
        fault = sqlite_fault(path) if path.exists() else fault_of(existing(path.parent))
        if fault:
            todo = "mend that, or set MLFLOW_TRACKING_URI to another place"
            yield wrong("MLflow", f"{path} cannot be written: {fault}", todo)
            return
        if not path.exists():
            yield ok("MLflow", f"{path} will be made at the first run")
            return
    try:
        experiment = ask(uri)
    except Exception as error:  # of MLflow, SQLAlchemy and requests
        todo = "set MLFLOW_TRACKING_URI to another place"
        if uri.startswith("http"):
            todo = (
                "start it, set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD if it wants "
                f"them, or {todo}"
            )
        found = f"{shown(uri)} does not answer as it should: {first_line(cause(error))}"
        yield wrong("MLflow", found, todo)
        return
    if experiment == "deleted":
        yield wrong(
            "MLflow",
            f"the experiment 'mae-bench' in {shown(uri)} was deleted",
            "bring it back with `mlflow experiments restore`",
        )
    else:
        yield ok("MLflow", shown(uri))


def ask(uri: str) -> str:
    """'active', 'deleted', or '' if our experiment is not there. Raises what MLflow does."""
    from mlflow import MlflowClient

    from pipelines.tracking.tracker import EXPERIMENT

    with environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES=0, MLFLOW_HTTP_REQUEST_TIMEOUT=PATIENCE):
        found = MlflowClient(uri).get_experiment_by_name(EXPERIMENT)
    return found.lifecycle_stage if found else ""


def cause(error: BaseException) -> BaseException:
    """The error of the network or the disk at the bottom of an error, else the error itself."""
    found, below = error, error.__cause__ or error.__context__
    while below:
        if isinstance(below, OSError):
            found = below
        below = below.__cause__ or below.__context__
    return found


def sqlite_fault(path: Path) -> str:
    """Why a database in a file cannot be written; '' if it can."""
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
    except sqlite3.Error as error:
        return str(error)
    return ""


@contextmanager
def environment(**values: int) -> Iterator[None]:
    """Within the block variables of the environment have other values."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
