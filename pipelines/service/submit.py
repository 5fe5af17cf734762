"""Hand a benchmark to a worker of the Prefect server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from mae_core.errors import UserError
from pipelines.service.prefect_names import FLOW_NAME
from pipelines.service.server import require_server

ANY = "demo"  # the deployment for recipes that have none of their own: it takes every recipe


def submit(recipe: str, parameters: Mapping[str, Any]) -> str:
    """Create a flow run of a recipe's deployment; its address in Prefect's UI.

    Args:
        recipe: a name under `configs/benchmarks`, or a path that the worker can read.
        parameters: further ones of the flow.

    Raises:
        UserError: if no server is set or answers, nothing is deployed, or no worker would take it.
    """
    require_server()
    with get_client(sync_client=True) as client:
        deployment = find_deployment(client, Path(recipe).stem)
        check_worker(client, deployment.work_pool_name or "")
        run = client.create_flow_run_from_deployment(
            deployment.id, parameters={**parameters, "recipe": recipe}
        )
    return f"{get_current_settings().ui_url}/runs/flow-run/{run.id}"


def find_deployment(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    """The recipe's own deployment, or the one for any recipe."""
    for candidate in (name, ANY):
        try:
            return client.read_deployment_by_name(f"{FLOW_NAME}/{candidate}")
        except ObjectNotFound:
            continue
    raise UserError(
        f"the Prefect server at {client.api_url} has no deployment {FLOW_NAME}/{name}: create "
        "them with `mae-bench deploy`, in the checkout"
    )


def check_worker(client: SyncPrefectClient, pool: str) -> None:
    """Raise UserError unless the pool has a worker and lets it start runs."""
    try:
        paused = client.read_work_pool(pool).is_paused
    except ObjectNotFound:
        raise UserError(f"there is no work pool '{pool}': `mae-bench deploy` makes it") from None
    if paused:
        raise UserError(
            f"the work pool '{pool}' is paused: `prefect work-pool resume {pool}` lets it go on"
        )
    workers = client.read_workers_for_work_pool(pool)
    if not any(worker.status == WorkerStatus.ONLINE for worker in workers):
        raise UserError(
            f"no worker serves the work pool '{pool}': start one with "
            f"`mae-bench worker --pool {pool}` on the machine that is to compute"
        )
