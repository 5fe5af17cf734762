from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from mae_core.errors import UserError
from pipelines.service.deploy import POOL, deploy
from pipelines.service.prefect_names import FLOW_NAME
from pipelines.service.slots import SHARED
from pipelines.service.submit import check_worker, find_deployment, submit

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def client(prefect: None) -> Iterator[SyncPrefectClient]:
    """Of a server that has nothing of other files' tests, and keeps nothing of these."""
    with get_client(sync_client=True) as client:
        forget_all(client)
        yield client
        forget_all(client)


def forget_all(client: SyncPrefectClient) -> None:
    for deployment in client.read_deployments():
        client.delete_deployment(deployment.id)
    with suppress(ObjectNotFound):
        client.delete_work_pool(POOL)
    with suppress(ObjectNotFound):
        client.delete_global_concurrency_limit_by_name(SHARED)


@pytest.fixture(scope="module")
def deployed(client: SyncPrefectClient) -> None:
    """For the tests that follow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        deploy(2)


@pytest.fixture(scope="module")
def worker(client: SyncPrefectClient, deployed: None) -> None:
    """For the tests that follow."""
    client.send_worker_heartbeat(POOL, "test", heartbeat_interval_seconds=300)


def test_nothing_deployed(client: SyncPrefectClient) -> None:
    with pytest.raises(UserError, match=f"no deployment {FLOW_NAME}/demo.*`mae-bench deploy`"):
        submit("demo", {})


def test_no_pool(client: SyncPrefectClient) -> None:
    with pytest.raises(UserError, match=r"no work pool 'gone'.*`mae-bench deploy`"):
        check_worker(client, "gone")


def test_no_worker(deployed: None) -> None:
    with pytest.raises(UserError, match=f"no worker serves .*mae-bench worker --pool {POOL}"):
        submit("demo", {})


def test_a_recipe_without_a_deployment_takes_the_one_for_any(
    client: SyncPrefectClient, deployed: None
) -> None:
    assert find_deployment(client, "mine").name == "demo"


def test_a_flow_run_with_the_parameters_waits_for_the_worker(
    client: SyncPrefectClient, worker: None
) -> None:
    url = submit("nuclei", {"seed": 3})
    run = client.read_flow_run(url.rpartition("/")[2])
    assert run.parameters == {"recipe": "nuclei", "seed": 3}
    assert run.state.is_scheduled() and run.work_pool_name == POOL
    deployment = client.read_deployment(run.deployment_id)
    assert deployment.name == "nuclei"


def test_a_paused_pool(client: SyncPrefectClient, worker: None) -> None:
    client.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))
    with pytest.raises(UserError, match=f"is paused: `prefect work-pool resume {POOL}`"):
        submit("demo", {})
    client.update_work_pool(POOL, WorkPoolUpdate(is_paused=False))


def test_no_server_set() -> None:
    with (
        temporary_settings(restore_defaults=[PREFECT_API_URL]),
        pytest.raises(UserError, match="no Prefect server is set: `prefect server start`"),
    ):
        submit("demo", {})


def test_a_server_that_is_not_there() -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(UserError, match=r"127.0.0.1:9/api does not answer .*prefect server start"),
    ):
        submit("demo", {})
