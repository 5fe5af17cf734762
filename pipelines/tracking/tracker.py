"""MLflow: one parent run for a benchmark, one child run for each stage and encoder."""

import logging
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Experiment, Param, RunTag
from mlflow.entities import Metric as Point
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from sqlalchemy.exc import SQLAlchemyError

from mae_core.errors import UserError
from mae_core.stage import Metric, StageResult
from pipelines.errors import StageInterrupted
from pipelines.last_net import disk_fault
from pipelines.tracking.artifacts import SHA256, remove, send
from pipelines.tracking.connection import alone_with, check_answers, check_database, while_locked
from pipelines.tracking.connection import with_driver as with_driver
from pipelines.tracking.moved import ARTIFACTS, bring_along
from pipelines.tracking.patience import SHORTLY, Undelivered, http_status, patiently
from pipelines.tracking.runs import Runs
from pipelines.tracking.stored_run import encoded, units

EXPERIMENT = "mae-bench"
Measured = tuple[str, float, int, int]  # name, value, milliseconds since 1970, step
SYSTEM = "system/"  # begins the names of the machine's own metrics
SQLITE = "sqlite:///"
ARTIFACT_ROOT = "MLFLOW_DEFAULT_ARTIFACT_ROOT"
USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
CHECKPOINT = "checkpoint"  # a run's folder of artifacts for it
START = "start"  # tag: drawn for each start of a run, which is repeated until the server answers
TRIES = 5
log = logging.getLogger(__name__)
PARAM_LIMIT = 500  # characters of a value; the whole config is an artifact


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else SQLite in `runs/` under the current folder."""
    default = f"{SQLITE}{Path('runs').absolute() / 'mlflow.db'}"
    return os.environ.get("MLFLOW_TRACKING_URI", default)


class Tracker(Runs):
    """The project's use of MLflow: runs are read as :class:`Runs` says, and written.

    Raises:
        UserError: if the server does not answer, or the experiment was deleted.
    """

    def __init__(self, uri: str | None = None) -> None:
        self.uri = with_driver(without_password(uri or tracking_uri()))
        try:
            if self.uri.startswith(SQLITE):
                database = Path(self.uri.removeprefix(SQLITE).partition("?")[0])
                with alone_with(database):
                    found = self._open()
                if found:
                    bring_along(database, found.artifact_location, log.warning)
            else:
                if self.uri.startswith("http"):
                    check_answers(self.uri)
                elif re.split(r"[+:]", self.uri)[0] in DATABASE_ENGINES:
                    check_database(self.uri)
                found = self._open()
        except ImportError as error:
            raise UserError(
                f"the database {self.place} needs a package that is not installed ({error}); for "
                "Postgres: pip install 'mae-bench[services]'"
            ) from error
        except (MlflowException, SQLAlchemyError, OSError) as error:
            if told := disk_fault(error):
                raise UserError(f"MLflow's database {self.place}: {told}") from error
            if http_status(error) in (401, 403):
                raise UserError(
                    f"MLflow at {self.place} wants another user or password (HTTP "
                    f"{http_status(error)}): set {USER} and {PASSWORD}, or put them into "
                    "~/.mlflow/credentials, on each machine that computes"
                ) from error
            first = str(error).strip().splitlines()[0]
            raise UserError(
                f"no MLflow tracking at {self.place} ({first}): start the server or change "
                "MLFLOW_TRACKING_URI"
            ) from error
        if found and found.lifecycle_stage != "active":
            raise UserError(
                f"the MLflow experiment '{EXPERIMENT}' in {self.place} was deleted: bring it back "
                f"with `mlflow experiments restore -x {self.experiment}`"
            )

    def __reduce__(self) -> tuple[type["Tracker"], tuple[str]]:
        """Another process makes its own connection."""
        return Tracker, (self.uri,)

    def _open(self) -> Experiment | None:
        """The experiment, which is made if this is None."""
        client = while_locked(lambda: MlflowClient(self.uri))
        found = while_locked(lambda: client.get_experiment_by_name(EXPERIMENT))
        super().__init__(client, found.experiment_id if found else self._create(client))
        return found

    def _create(self, client: MlflowClient) -> str:
        """Id of the new experiment, whose files a server places, we beside a local database.

        `MLFLOW_DEFAULT_ARTIFACT_ROOT` means the same to us as to `mlflow server`: another place.
        """
        location = None if self.uri.startswith("http") else os.environ.get(ARTIFACT_ROOT)
        if location is None and self.uri.startswith(SQLITE):
            folder = Path(self.uri.removeprefix(SQLITE)).absolute().parent
            location = (folder / ARTIFACTS).as_uri()
        return while_locked(
            lambda: client.create_experiment(EXPERIMENT, artifact_location=location)
        )

    def start(
        self, name: str, tags: Mapping[str, str], parent: str | None = None, resumed: str = ""
    ) -> str:
        """Id of a new running run, or of `resumed`, set to running again.

        Raises:
            Undelivered: if the server is away for too long, or refuses.
        """
        if resumed and patiently(lambda: self._entered(resumed), self.place):
            return resumed
        lineage = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
        own = {MLFLOW_RUN_NAME: name, **lineage, **tags, START: secrets.token_hex(8)}
        return patiently(lambda: self._made(own), self.place)

    def _entered(self, run_id: str) -> bool:
        """Whether the run is there, and running again."""
        if not self.exists(run_id):
            return False
        self.client.update_run(run_id, status="RUNNING")
        if "error" in self.client.get_run(run_id).data.tags:
            self.client.delete_tag(run_id, "error")
        return True

    def _made(self, tags: Mapping[str, str]) -> str:
        """Id of a new run, or of the one with these tags that an answer that was lost told of."""
        for run in self.find(start=tags[START]):
            return run.id
        return self.client.create_run(self.experiment, tags=dict(tags)).info.run_id

    def end_children(self, parent: str, status: str) -> None:
        """Close the runs under `parent` that are still open."""
        for run in self.find(parent=parent, status="RUNNING"):
            self.end(run.id, status)

    def adopt(self, run_id: str, name: str, parent: str | None) -> None:
        """Show a finished run under another parent too: a short run that points to it."""
        run = self.get(run_id)
        if parent in (None, run.parent):
            return
        if self.find(parent=str(parent), reused_from=run_id):
            return
        own = ("mlflow.", SHA256)
        tags = {k: v for k, v in run.tags.items() if not k.startswith(own)}
        copy = self.start(name, {**tags, "reused_from": run_id}, parent)
        self.metrics(copy, {k: v for k, v in run.metrics.items() if not k.startswith(SYSTEM)})
        self.end(copy, "FINISHED")

    @property
    def place(self) -> str:
        """The address without user and password."""
        return shown(self.uri)

    def link(self, run_id: str) -> str:
        """Where the run is shown, '' unless a server shows it."""
        if not self.uri.startswith("http"):
            return ""
        return f"{self.place.rstrip('/')}/#/experiments/{self.experiment}/runs/{run_id}"

    def params(self, run_id: str, values: Mapping[str, Any]) -> None:
        """Log parameters, flattened with dots; known ones stay as they are."""
        known = self.client.get_run(run_id).data.params
        flat = {key: str(value)[:PARAM_LIMIT] for key, value in flatten(values).items()}
        new = [Param(key, value) for key, value in flat.items() if key not in known]
        for start in range(0, len(new), 100):
            self.client.log_batch(run_id, params=new[start : start + 100])

    def inputs(self, run_id: str, datasets: Sequence[DatasetInput]) -> None:
        """Note what data a run reads; known ones stay as they are."""
        for left in reversed(range(TRIES)):
            try:
                return self.client.log_inputs(run_id, list(datasets))
            except MlflowException:  # two runs that enter the same data at once: one is refused
                if not left:
                    raise

    def text(self, run_id: str, text: str, name: str) -> None:
        """Store a text as a file with a run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_text(text)
            self.artifact(run_id, path)

    def last_steps(self, run_id: str) -> dict[str, int]:
        """The last step logged so far of each metric."""
        known = self.client.get_run(run_id).data.metrics
        return {
            key: max(point.step for point in self.client.get_metric_history(run_id, key))
            for key in known
            if not key.startswith(SYSTEM)
        }

    def points(self, run_id: str, values: Mapping[str, float], step: int) -> None:
        """Log metrics at a step."""
        now = int(time.time() * 1000)
        self.measured(run_id, [(key, value, now, step) for key, value in values.items()])

    def measured(self, run_id: str, points: Sequence[Measured]) -> None:
        """Log points; a point that is there with the same time stays as it is."""
        self.client.log_batch(run_id, [Point(*point) for point in points])

    def metrics(self, run_id: str, metrics: Mapping[str, Metric]) -> None:
        """Log results with intervals and units; what the run has already is not logged again."""
        known = self.client.get_run(run_id).data.metrics
        new = {name: v for name, v in encoded(metrics).items() if known.get(name) != v}
        self.points(run_id, new, step=0)
        if found := units(metrics):
            self.tag(run_id, **found)

    def finish(self, run_id: str, result: StageResult) -> None:
        """Log a stage's metrics, checkpoint and artifacts, then mark the run as finished."""
        self.metrics(run_id, result.metrics)
        if result.labels is not None:
            self.tag(run_id, labels=str(result.labels))
        for path in result.artifacts.values():
            self.artifact(run_id, Path(path))
        if result.checkpoint:
            self.artifact(run_id, Path(result.checkpoint), CHECKPOINT)
        self.end(run_id, "FINISHED")

    @contextmanager
    def closing(self, run_id: str) -> Iterator[None]:
        """As the block ends, close the run, and after an error what is open under it."""
        try:
            yield
        except BaseException as error:
            killed = isinstance(error, StageInterrupted) or not isinstance(error, Exception)
            with suppress(UserError, Undelivered):  # the error itself is what is to be seen
                patiently(
                    lambda: self._end_all(run_id, "KILLED" if killed else "FAILED"),
                    self.place,
                    SHORTLY,
                )
            raise
        patiently(lambda: self.end(run_id, "FINISHED"), self.place)

    def _end_all(self, run_id: str, status: str) -> None:
        self.end_children(run_id, status)
        self.end(run_id, status)

    def end(self, run_id: str, status: str) -> None:
        """Close a run as FINISHED, FAILED or KILLED."""
        self.client.set_terminated(run_id, status)

    def artifact(self, run_id: str, path: Path, folder: str = "") -> None:
        """Store a file with a run, see :func:`pipelines.tracking.artifacts.send`."""
        send(self.client, run_id, path, folder)

    def remove(self, run_id: str, name: str) -> None:
        """Delete a run's file, see :func:`pipelines.tracking.artifacts.remove`."""
        remove(self.client, run_id, name)

    def tag(self, run_id: str, **tags: str) -> None:
        """Set tags of a run."""
        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def shown(uri: str) -> str:
    """An address without user and password."""
    return re.sub(r"//[^/]*@", "//", uri, count=1)


def without_password(uri: str) -> str:
    """An address without its password, which goes to the variable that is read for it.

    MLflow's own messages show the address that it is given, and other processes get it.
    """
    if database := re.match(r"(postgres[^/]*//[^/:@]*):([^/@]*)(@.*)", uri):
        start, password, rest = database.groups()
        os.environ["PGPASSWORD"] = unquote(password)
        return start + rest
    signed = re.match(r"(https?://)([^/]*)@(.*)", uri)
    if not signed:
        return uri
    scheme, account, rest = signed.groups()
    user, _, password = account.partition(":")
    os.environ[USER], os.environ[PASSWORD] = unquote(user), unquote(password)
    return scheme + rest


def check_parameter(uri: str | None) -> None:
    """Raise UserError for an address with a password: Prefect shows the parameters of a flow."""
    if re.match(r"[^/]*//[^/]*:[^/]*@", uri or ""):
        raise UserError(
            "tracking_uri holds a password, which Prefect keeps and shows: change that password, "
            f"and give it to the worker in {PASSWORD}, with {USER}; for a database in its own "
            "variable, such as PGPASSWORD"
        )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'a': {'b': 1}} -> {'a.b': 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
