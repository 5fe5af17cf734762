"""Encoders as versions of one registered model of MLflow, for `--encoder models:/...`."""

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)

from mae_core.errors import UserError
from pipelines.stages import MODELS
from pipelines.tracking.tracker import CHECKPOINT, Tracker

MODEL = "mae-encoder"
BEST = "best-linear"  # alias of the version with the best linear probe
PROBE = "linear-probe/top1"  # tag of a version, and the metric that decides
DATA = "linear-probe/data"  # tag: the digests of the data that it was probed on


def register(tracker: Tracker, run_id: str, tags: dict[str, str]) -> None:
    """Make the checkpoint of a finished run a new version, unless it is one.

    Args:
        tracker: of MLflow.
        run_id: of a pretraining or a supervised training.
        tags: of the version.
    """
    client = tracker.client
    try:
        client.create_registered_model(MODEL, description="Encoders trained by MAE-Bench.")
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    if not versions(tracker, run_id):
        client.create_model_version(MODEL, f"runs:/{run_id}/{CHECKPOINT}", run_id, tags)


def probed(tracker: Tracker, encoder_run: str, top1: float, data: str) -> None:
    """Note the linear probe of the version made by `encoder_run`; the best has the alias.

    Args:
        tracker: of MLflow.
        encoder_run: id of the run that made the encoder.
        top1: accuracy, 0 to 1.
        data: what it was measured on; one probed on other data makes way for the newer.
    """
    client = tracker.client
    for found in versions(tracker, encoder_run):
        client.set_model_version_tag(MODEL, found.version, PROBE, str(top1))
        client.set_model_version_tag(MODEL, found.version, DATA, data)
        best = aliased(tracker)
        if (
            best is None
            or best.tags.get(DATA) != data
            or float(best.tags.get(PROBE, "-inf")) < top1
        ):
            client.set_registered_model_alias(MODEL, BEST, found.version)


def versions(tracker: Tracker, run_id: str) -> list[ModelVersion]:
    """The versions that a run made: one or none."""
    found = tracker.client.search_model_versions(f"name = '{MODEL}' and run_id = '{run_id}'")
    return list(found)


def aliased(tracker: Tracker) -> ModelVersion | None:
    """The version with the best linear probe so far."""
    try:
        return tracker.client.get_model_version_by_alias(MODEL, BEST)
    except MlflowException as error:
        if not absent(error):
            raise
        return None


def absent(error: MlflowException) -> bool:
    """Whether there is no such model, version or alias, or its name is none: no outage."""
    answers = (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)
    return str(error.error_code) in map(ErrorCode.Name, answers)


def run_of_model(spec: str, tracker: Tracker) -> str:
    """Id of the run that made `models:/<name>@<alias>`, `.../<version>` or `.../latest`.

    Raises:
        UserError: if there is no such model or version.
    """
    name, at, alias = spec.removeprefix(MODELS).partition("@")
    name, _, number = name.partition("/")
    client = tracker.client
    try:
        if at:
            return str(client.get_model_version_by_alias(name, alias).run_id)
        if number == "latest":
            found = client.search_model_versions(f"name = '{name}'")
            return str(max(found, key=lambda version: int(version.version)).run_id)
        return str(client.get_model_version(name, number).run_id)
    except (MlflowException, ValueError) as error:
        if isinstance(error, MlflowException) and not absent(error):
            raise
        raise UserError(
            f"no registered model '{spec}' in {tracker.place}: expected models:/{MODEL}/latest, "
            f"models:/{MODEL}@{BEST} or models:/{MODEL}/<version>"
        ) from error
