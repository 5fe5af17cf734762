import pickle
import threading

import pytest
import requests
from botocore.exceptions import ClientError
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, PERMISSION_DENIED

from mae_core import UserError
from pipelines.tracking import patience
from pipelines.tracking.artifacts import StoreError
from pipelines.tracking.patience import Undelivered, attempts, patiently, refused, undelivered


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "AGAIN", 0.001)


def answer(code: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = code
    return requests.HTTPError(response=response)


def of_s3(code: int) -> StoreError:
    error = StoreError("upload failed")
    error.__cause__ = ClientError({"ResponseMetadata": {"HTTPStatusCode": code}}, "PutObject")
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (answer(403), True),
        (answer(503), False),
        (of_s3(404), True),
        (of_s3(500), False),
        (MlflowException("", PERMISSION_DENIED), True),
        (MlflowException("", INTERNAL_ERROR), False),
        (ConnectionRefusedError(), False),
    ],
)
def test_what_a_server_answers_decides_whether_it_is_asked_again(
    error: Exception, expected: bool
) -> None:
    assert refused(error) is expected


def test_it_is_tried_again_until_it_succeeds() -> None:
    left = [ConnectionRefusedError(), answer(503), of_s3(500)]

    def act() -> None:
        if left:
            raise left.pop()

    patiently(act, "here")
    assert not left


def test_a_refusal_is_told_at_once() -> None:
    tries = []

    def act() -> None:
        tries.append(1)
        raise answer(403)

    with pytest.raises(Undelivered, match="MLflow at here refuses"):
        patiently(act, "here")
    assert len(tries) == 1


def test_a_server_that_stays_away_is_told_with_the_last_error() -> None:
    def act() -> None:
        raise ConnectionRefusedError("nobody listens")

    with pytest.raises(Undelivered, match=r"did not answer for 0 s \(nobody listens\).* kept on"):
        patiently(act, "here", seconds=0.01)


def test_other_errors_are_ours() -> None:
    def act() -> None:
        raise KeyError("a mistake of ours")

    with pytest.raises(KeyError):
        patiently(act, "here")


def test_nothing_is_tried_once_it_is_given_up() -> None:
    given_up = threading.Event()
    for number, _ in enumerate(attempts(given_up)):
        if number == 3:
            given_up.set()
    assert number == 3


def test_the_error_reaches_other_processes() -> None:
    error = undelivered("here", "refuses")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    "words", ["database or disk is full", "attempt to write a readonly database"]
)
def test_no_time_is_waited_for_a_disk(words: str) -> None:
    tries = []

    def act() -> None:
        tries.append(1)
        raise MlflowException(words, INTERNAL_ERROR)

    with pytest.raises(UserError, match="MLflow at here"):
        patiently(act, "here")
    assert len(tries) == 1


def test_the_value_comes_back() -> None:
    assert patiently(lambda: 3, "here") == 3
