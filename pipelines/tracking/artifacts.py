"""A run's files in MLflow, each with the checksum of its content, which every download has to fit.

The checksums are tags of the run: they lie in the database, the files perhaps in an object store.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from requests.exceptions import RequestException

from mae_core.errors import UserError
from mae_core.files import checksum
from pipelines.tracking.stored_run import StoredRun, stored_run

TAG = 250  # characters of a tag's key
PLAIN = re.compile(r"[0-9A-Za-z_./ -]*")  # what MLflow takes in one, everywhere
UNREADABLE = (MlflowException, OSError)  # how reading a stored file ends that cannot be had
SHA256 = "sha256/"  # begins the tag of a file, whose value is '<hexadecimal digest> <bytes>'


class Damaged(UserError):
    """A file is not what was uploaded under its name."""


class StoreError(MlflowException):
    """A file is not there, or the client of an object store, with errors of its own, failed."""


def send(client: MlflowClient, run_id: str, path: Path, folder: str = "") -> None:
    """Store a file with a run in `folder`, then its checksum; not again if they are there.

    Raises:
        MlflowException, OSError: if the server is away or refuses.
        UserError: if the store needs a package that is not installed.
    """
    name, found = f"{folder}/{path.name}".lstrip("/"), checksum(path)
    if client.get_run(run_id).data.tags.get(tag_of(name)) == found:
        return
    with store_errors():
        client.log_artifact(run_id, str(path), folder or None)
    client.set_tag(run_id, tag_of(name), found)


def fetch(client: MlflowClient, run: StoredRun, name: str, folder: Path) -> Path:
    """Download a run's file to the same place below `folder`; one without a checksum as it is.

    Raises:
        Damaged: if it does not fit its checksum, or its name leads out of the folder.
        MlflowException: if there is none, or the server is away.
    """
    run_id, place = run.id, folder / name
    if not within(place, folder):
        raise Damaged(f"the MLflow run '{run_id}' names a file outside of its folder: '{name}'")
    with store_errors():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            store_of(client, run).download_artifacts(name, str(folder))
        except MlflowException as error:  # of many lines, of which the last has the cause
            cause = str(error).strip().splitlines()[-1]
            raise StoreError(f"'{name}' of the MLflow run '{run_id}': {cause}") from error
    if place.is_symlink() or not place.is_file():  # MLflow may end so without an error
        raise StoreError(f"the MLflow run '{run_id}' has no file '{name}'")
    expected = run.tags.get(tag_of(name))
    if expected and (found := checksum(place)) != expected:
        place.unlink()
        raise Damaged(
            f"'{name}' of the MLflow run '{run_id}' is damaged: expected the SHA-256 and bytes "
            f"{expected}, found {found}. Delete the run with `mlflow runs delete --run-id {run_id}`"
            " and run the command that made it again"
        )
    return place


def files(client: MlflowClient, run_id: str, folder: str = "") -> list[str]:
    """The names of a run's files in `folder`, without those in folders below.

    Raises:
        MlflowException: if the server is away.
    """
    with store_errors():
        found = client.list_artifacts(run_id, folder or None)
    return [file.path for file in found if not file.is_dir]


def remove(client: MlflowClient, run_id: str, name: str) -> None:
    """Delete a run's file, then its checksum.

    Raises:
        MlflowException: if the server is away or refuses.
    """
    run = stored_run(client.get_run(run_id))
    with store_errors():
        store_of(client, run).delete_artifacts(name)
    if tag_of(name) in run.tags:
        client.delete_tag(run_id, tag_of(name))


def tag_of(name: str) -> str:
    """The key of the tag with a file's checksum: its name, hashed where MLflow would refuse it."""
    if len(SHA256 + name) <= TAG and PLAIN.fullmatch(name):
        return SHA256 + name
    return SHA256 + hashlib.sha256(os.fsencode(name)).hexdigest()


def store_of(client: MlflowClient, run: StoredRun) -> ArtifactRepository:
    """Where the run's files are, without the questions to the server that MLflow's client asks."""
    return get_artifact_repository(run.artifacts, tracking_uri=client.tracking_uri)


def within(place: Path, folder: Path) -> bool:
    """Whether `place` is below `folder`, wherever links and '..' lead."""
    return folder.resolve() in place.resolve().parents


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the errors of any object store into StoreError; those of files here stay."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"the artifacts' store needs a package ({error}): pip install 'mae-bench[services]'"
        ) from error
    except Exception as error:
        http = isinstance(error, RequestException)
        if isinstance(error, MlflowException | OSError) and not http:
            raise
        raise StoreError(str(error)) from error
