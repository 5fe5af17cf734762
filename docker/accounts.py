"""Give MLflow's server the account of workers and users, which is no admin's.

    MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD   the server, its admin
    MLFLOW_PASSWORD                                                           of the new account

It makes experiments and models, manages its own, and reads those of others. It is given those of
mae-bench that an admin made before. Done again, it changes nothing.
"""

import os

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.server.auth.client import AuthServiceClient

ACCOUNT = "mae-bench"
EXPERIMENT, MODEL = "mae-bench", "mae-encoder"
MANAGE = "MANAGE"  # to delete its own uploads too


def main() -> None:
    """Create the account, and give it what is there."""
    uri = os.environ["MLFLOW_TRACKING_URI"]
    accounts, client = AuthServiceClient(uri), MlflowClient(uri)
    try:
        accounts.create_user(ACCOUNT, os.environ["MLFLOW_PASSWORD"])
    except MlflowException as error:
        expect(error, RESOURCE_ALREADY_EXISTS)
    if found := client.get_experiment_by_name(EXPERIMENT):
        grant(accounts, "experiment", found.experiment_id)
    try:
        client.get_registered_model(MODEL)
    except MlflowException as error:
        expect(error, RESOURCE_DOES_NOT_EXIST)
    else:
        grant(accounts, "registered_model", MODEL)


def grant(accounts: AuthServiceClient, kind: str, name: str) -> None:
    """Let the account manage an experiment or a model."""
    try:
        accounts.grant_user_permission(ACCOUNT, kind, name, MANAGE)
    except MlflowException as error:
        expect(error, RESOURCE_ALREADY_EXISTS)


def expect(error: MlflowException, code: int) -> None:
    """Raise the error unless it is the expected one."""
    if error.error_code != ErrorCode.Name(code):
        raise error


if __name__ == "__main__":
    main()
