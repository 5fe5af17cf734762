"""What is read of the runs that MLflow has."""

import re
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipelines.tracking.artifacts import fetch, files
from pipelines.tracking.stored_run import StoredRun, stored_run

RUN_ID = re.compile(r"[a-zA-Z0-9][\w-]{0,255}")  # what MLflow takes for one


class Runs:
    """The runs of one experiment, read back. All methods raise MlflowException if the server is
    away or refuses.

    Args:
        client: of MLflow.
        experiment: its id.
    """

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self.client, self.experiment = client, experiment

    def get(self, run_id: str) -> StoredRun:
        """The run that has to be there.

        Raises:
            MlflowException: also if it is not.
        """
        return stored_run(self.client.get_run(run_id))

    def look_up(self, run_id: str) -> StoredRun | None:
        """The run; None only if the server says that there is none, or it is no run's id."""
        run = self._any(run_id)
        return stored_run(run) if run else None

    def exists(self, run_id: str) -> bool:
        """Whether the run is there and not deleted."""
        run = self._any(run_id)
        return run is not None and run.info.lifecycle_stage == "active"

    def finished(self, run_id: str) -> bool:
        """Whether the run is there and closed as finished."""
        run = self._any(run_id)
        if run is None or run.info.lifecycle_stage != "active":
            return False
        return bool(run.info.status == "FINISHED")

    def find(self, *, parent: str = "", status: str = "", **tags: str) -> list[StoredRun]:
        """All runs that fit what is given, the latest first.

        Args:
            parent: the id of the run that they are under.
            status: such as 'FINISHED'.
            tags: values by the tag's name: `stage="knn"`.
        """
        wanted = {**tags, **({MLFLOW_PARENT_RUN_ID: parent} if parent else {})}
        # MLflow's filters have no way to write a quote: such values are compared below.
        said = [f"tags.{name} = '{value}'" for name, value in wanted.items() if "'" not in value]
        said += [f"attributes.status = '{status}'"] if status else []
        found: list[StoredRun] = []
        token: str | None = None
        while token is None or token:
            page = self.client.search_runs([self.experiment], " AND ".join(said), page_token=token)
            found += map(stored_run, page)
            token = page.token or ""
        return [run for run in found if wanted.items() <= run.tags.items()]

    def computed(self, fingerprint: str, encoder: str, status: str = "FINISHED") -> list[StoredRun]:
        """A row's runs with this fingerprint and status that computed, the last to end first."""
        found = [
            run
            for run in self.find(fingerprint=fingerprint, status=status)
            if run.encoder == encoder and not run.reused_from
        ]
        return sorted(found, key=lambda run: run.started.timestamp() + run.seconds, reverse=True)

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """All that was logged of a metric, as (step, value)."""
        points = self.client.get_metric_history(run_id, metric)
        return [(point.step, point.value) for point in points]

    def files(self, run_id: str, folder: str = "") -> list[str]:
        """The names of a run's files, see :func:`pipelines.tracking.artifacts.files`."""
        return files(self.client, run_id, folder)

    def fetch(self, run: StoredRun, name: str, folder: Path) -> Path:
        """Download a run's file, see :func:`pipelines.tracking.artifacts.fetch`."""
        return fetch(self.client, run, name, folder)

    def read(self, run: StoredRun, name: str) -> bytes:
        """A file's content.

        Raises:
            Damaged: if it is not what was uploaded.
            MlflowException, OSError: if the run has no such file.
        """
        with tempfile.TemporaryDirectory() as folder:
            return self.fetch(run, name, Path(folder)).read_bytes()

    def _any(self, run_id: str) -> Run | None:
        """MLflow's run, also a deleted one; None if there is none."""
        if not RUN_ID.fullmatch(run_id):
            return None
        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if not absent(error):
                raise
            return None


def absent(error: MlflowException) -> bool:
    """Whether the answer is that there is no such thing: not that a server is away, or refuses."""
    return str(error.error_code) == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)
