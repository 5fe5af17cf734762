"""Make the service ready: work pool, slots, deployments. Done again, it changes nothing."""

import os
import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound

from mae_core.errors import UserError
from pipelines.notify import notify
from pipelines.server import require_server
from pipelines.slots import SHARED

POOL = "mae-bench"
FILE = "prefect.yaml"
FORGETS = (
    "warning: this server forgets when it restarts who has a slot, and gives it to nobody again: "
    "`prefect config set PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE="
    "prefect.server.concurrency.lease_storage.filesystem`, then start it again"
)


def deploy(slots: int, webhook: str | None = None) -> list[str]:
    """Create what is missing on the Prefect server; what was done, a line each.

    Args:
        slots: how many stages may have a GPU at a time, over all flow runs of the server.
        webhook: address that is told of benchmarks that failed.

    Raises:
        UserError: if no server is set or answers, the current folder has no `prefect.yaml`, or
            Prefect refuses it.
    """
    url = require_server()
    if not Path(FILE).is_file():
        raise UserError(f"no {FILE} in {Path.cwd()}: call this in the checkout of mae-bench")
    with get_client(sync_client=True) as client:
        said = [create_pool(client)]
        client.upsert_global_concurrency_limit_by_name(SHARED, slots)
        said.append(f"global concurrency limit '{SHARED}': {slots}")
        if webhook:
            said.append(notify(client, webhook))
        if forgets_slots(client):
            said.append(FORGETS)
    said += create_deployments(url)
    return said


def forgets_slots(client: SyncPrefectClient) -> bool:
    """Whether a restart of the server would leave the slots that are taken taken for ever."""
    settings = client.request("GET", "/admin/settings").json()
    return str(settings["server"]["concurrency"]["lease_storage"]).endswith(".memory")


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
