"""The Prefect server that the user's settings name, if any."""

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from mae_core.errors import UserError


def check_server() -> None:
    """Do nothing if no server is set (Prefect then starts one of its own) or it answers.

    Raises:
        UserError: if the server that `PREFECT_API_URL` or the profile names does not answer.
    """
    url = get_current_settings().api.url
    if not url:
        return
    with get_client(sync_client=True) as client:
        error = client.api_healthcheck()
    if error:
        raise UserError(
            f"the Prefect server at {url} does not answer ({error}): start it with "
            "`prefect server start`, or run without one: `prefect config unset PREFECT_API_URL`, "
            "and `unset PREFECT_API_URL` where it is a variable of the environment"
        )
