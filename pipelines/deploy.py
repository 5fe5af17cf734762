"""Make the service ready: work pool, slots, deployments. Done again, it changes nothing."""

import os
import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from mae_core.errors import UserError
from pipelines.server import check_server
from pipelines.slots import SHARED

POOL = "mae-bench"
FILE = "prefect.yaml"


def deploy(slots: int) -> list[str]:
    """Create what is missing on the Prefect server; what was done, a line each.

    Args:
        slots: how many stages may have a GPU at a time, over all flow runs of the server.

    Raises:
        UserError: if no server is set or answers, the current folder has no `prefect.yaml`, or
            Prefect refuses it.
    """
    url = get_current_settings().api.url
    if not url:
        raise UserError(
            "no Prefect server is set: `prefect server start` in another terminal, then "
            "`prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`"
        )
    check_server()
    if not Path(FILE).is_file():
        raise UserError(f"no {FILE} in {Path.cwd()}: call this in the checkout of mae-bench")
    with get_client(sync_client=True) as client:
        said = [create_pool(client)]
        client.upsert_global_concurrency_limit_by_name(SHARED, slots)
        said.append(f"global concurrency limit '{SHARED}': {slots}")
    said += create_deployments(url)
    return said


def create_pool(client: SyncPrefectClient) -> str:
    """Create the work pool unless it is there."""
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        return f"work pool '{POOL}': created"
    return f"work pool '{POOL}': there"


def create_deployments(url: str) -> list[str]:
    """Create or update those of `prefect.yaml`. Raises UserError with Prefect's words."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    environment = {**os.environ, "PREFECT_API_URL": url}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise UserError(f"prefect deploy --all failed:\n{tail}")
    return [f"deployments of {FILE}: created or updated"]
