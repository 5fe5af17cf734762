import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from mae_core.errors import UserError
from pipelines.service.server import check_server

CLOSED = "http://127.0.0.1:9/api"  # the port 'discard', on which nothing listens


def test_a_server_that_does_not_answer_is_named() -> None:
    with (
        temporary_settings({PREFECT_API_URL: CLOSED}),
        pytest.raises(UserError, match=f"server at {CLOSED} does not answer.*server start"),
    ):
        check_server()


def test_a_server_that_answers_is_accepted(prefect: None) -> None:
    assert PREFECT_API_URL.value()
    check_server()


def test_no_server_is_needed() -> None:
    with temporary_settings(restore_defaults=[PREFECT_API_URL]):
        check_server()
