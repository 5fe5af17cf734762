"""Make the service ready: work pool, slots, deployments. Done again, it changes nothing."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound

from mae_core.errors import UserError
from pipelines.service.notify import notify
from pipelines.service.server import require_server
from pipelines.service.slots import SHARED

POOL = "mae-bench"
FILE = "prefect.yaml"
SHIPPED = Path(__file__).parents[1] / FILE  # in a checkout a link to the one at its top
FORGETS = (
    "warning: this server forgets when it restarts who has a slot, and gives it to nobody again: "
    "`prefect config set PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE="
    "prefect.server.concurrency.lease_storage.filesystem`, then start it again"
)

OPEN = (
    "warning: this server has no password: whoever reaches it, any page in a browser of this "
    "machine too, can have the worker run commands. README.md, 'The chain as a service', starts it "
    "with one (PREFECT_SERVER_API_AUTH_STRING)"
)


def deploy(slots: int, webhook: str | None = None) -> list[str]:
    """Create what is missing on the Prefect server; what was done, a line each.

    The deployments are those of the current folder's `prefect.yaml` if it has one, else ours. Their
    flow runs start in the current folder.

    Args:
        slots: how many stages may have a GPU at a time, over all flow runs of the server.
        webhook: address that is told of benchmarks that failed.

    Raises:
        UserError: if no server is set or answers, or Prefect refuses the file.
    """
    url = require_server()
    with get_client(sync_client=True) as client:
        said = [create_pool(client)]
        client.upsert_global_concurrency_limit_by_name(SHARED, slots)
        said.append(f"global concurrency limit '{SHARED}': {slots}")
        if webhook:
            said.append(notify(client, webhook))
        server = client.request("GET", "/admin/settings").json()["server"]
        if forgets_slots(server):
            said.append(FORGETS)
        if not server["api"]["auth_string"]:
            said.append(OPEN)
    said += create_deployments(url)
    return said


def forgets_slots(server: Mapping[str, Any]) -> bool:
    """Whether a restart of the server would leave the slots that are taken taken for ever."""
    return str(server["concurrency"]["lease_storage"]).endswith(".memory")


def create_pool(client: SyncPrefectClient) -> str:
    """Create the work pool unless it is there."""
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        return f"work pool '{POOL}': created"
    return f"work pool '{POOL}': there"


def create_deployments(url: str) -> list[str]:
    """Create or update those of the file. Raises UserError with Prefect's words."""
    own = Path(FILE).absolute()
    file = own if own.is_file() else SHIPPED
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    environment = {**os.environ, "PREFECT_API_URL": url, "PWD": str(Path.cwd())}
    done = subprocess.run(
        [*command, "--prefect-file", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise UserError(f"prefect deploy --all --prefect-file {file} failed:\n{tail}")
    return [f"deployments of {file}: created or updated"]
