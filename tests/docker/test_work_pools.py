"""The work pools' templates, by the workers' own way from a template to a job."""

import json
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import _create_container_args
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.testing.utilities import prefect_test_harness
from prefect.workers.base import BaseJobConfiguration
from prefect_docker.worker import DockerWorker
from prefect_kubernetes.worker import KubernetesWorker

from pipelines.cells.launch import GRACE

WORKERS = {"docker": DockerWorker, "kubernetes": KubernetesWorker}
RUNS = "/opt/mae-bench/runs"  # the work dirs' folder in the image


def template(kind: str) -> dict[str, Any]:
    path = Path(__file__).parents[2] / "docker" / "work-pools" / f"{kind}.json"
    return json.loads(path.read_text())


async def configuration(kind: str, **variables: Any) -> BaseJobConfiguration:
    """What the worker makes of the template for a deployment with these job variables."""
    made = WORKERS[kind].job_configuration
    return await made.from_template_and_values(template(kind), variables)


async def pod(**variables: Any) -> dict[str, Any]:
    job = (await configuration("kubernetes", **variables)).job_manifest
    return job["spec"]["template"]["spec"]


async def container(**variables: Any) -> dict[str, Any]:
    """What Docker's API is asked for."""
    made = await configuration("docker", **variables)
    arguments = {"image": made.image, "version": "1.47", **made.container_create_kwargs}
    return _create_container_args(arguments)


pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def prefect() -> Any:
    with prefect_test_harness(300):  # seconds that its server may take on a busy machine
        yield


@pytest.mark.parametrize("kind", WORKERS)
async def test_a_server_takes_it_for_a_pool(prefect: None, kind: str) -> None:
    pool = WorkPoolCreate(name=kind, type=kind, base_job_template=template(kind))
    async with get_client() as client:
        await client.create_work_pool(pool)
        made = await client.read_work_pool(kind)
    assert made.base_job_template == template(kind)


@pytest.mark.parametrize("kind", WORKERS)
async def test_it_has_all_that_prefects_own_has(kind: str) -> None:
    ours, prefects = template(kind), WORKERS[kind].get_default_base_job_template()
    assert prefects["job_configuration"].keys() <= ours["job_configuration"].keys()
    replaced = {"container_create_kwargs"}
    known = prefects["variables"]["properties"].keys() - replaced
    assert known <= ours["variables"]["properties"].keys()


@pytest.mark.parametrize("kind", WORKERS)
async def test_a_deployments_variables_are_added(kind: str) -> None:
    made = await configuration(kind, env={"PREFECT_LOGGING_LEVEL": "DEBUG"})
    assert made.env["MAE_BENCH_DATA"] == "/data"
    assert made.env["PREFECT_LOGGING_LEVEL"] == "DEBUG"


async def test_a_pod_has_gpus_memory_to_share_and_the_claims() -> None:
    made = await pod(gpus=2, data_claim="photos")
    (box,) = made["containers"]
    assert box["resources"]["limits"]["nvidia.com/gpu"] == 2
    places = {mount["name"]: mount for mount in box["volumeMounts"]}
    assert (places["data"]["mountPath"], places["data"]["readOnly"]) == ("/data", True)
    assert places["runs"]["mountPath"] == RUNS
    assert places["shared-memory"]["mountPath"] == "/dev/shm"
    volumes = {volume["name"]: volume for volume in made["volumes"]}
    assert volumes.keys() == places.keys()
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "photos"
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}


async def test_a_pod_has_no_root_and_the_time_to_save() -> None:
    made = await pod()
    assert made["securityContext"]["runAsNonRoot"]
    assert made["securityContext"]["runAsUser"] == made["securityContext"]["fsGroup"] == 1000
    grace = float((await configuration("kubernetes")).env[GRACE])
    assert grace < made["terminationGracePeriodSeconds"]


async def test_a_container_has_gpus_memory_to_share_and_the_volumes() -> None:
    host = (await container(gpus=2))["host_config"]
    (request,) = host["DeviceRequests"]
    assert (request["Count"], request["Capabilities"]) == (2, [["gpu"]])
    assert host["ShmSize"] == 8 << 30
    volumes = (await configuration("docker")).volumes
    assert [volume.partition(":")[2] for volume in volumes] == ["/data:ro", RUNS]


async def test_a_container_has_no_root_and_the_time_to_save() -> None:
    assert (await container())["user"] == "1000:1000"
    prefects_patience = 30  # seconds until a worker kills a cancelled flow run's container
    assert float((await configuration("docker")).env[GRACE]) < prefects_patience


async def test_a_password_comes_from_a_secret_block_and_is_in_no_template(
    prefect: None,
) -> None:
    made = template("docker")
    named = "{{ prefect.blocks.secret.mlflow-password }}"
    made["variables"]["properties"]["env"]["default"]["MLFLOW_TRACKING_PASSWORD"] = named
    await Secret(value="hidden").save("mlflow-password")
    async with get_client() as client:
        pool = WorkPoolCreate(name="secret", type="docker", base_job_template=made)
        await client.create_work_pool(pool)
        kept = (await client.read_work_pool("secret")).base_job_template
        job = await DockerWorker.job_configuration.from_template_and_values(kept, {}, client=client)
    assert job.env["MLFLOW_TRACKING_PASSWORD"] == "hidden" and "hidden" not in json.dumps(kept)
    for kind in WORKERS:
        assert 'TRACKING_PASSWORD":' not in json.dumps(template(kind))
        assert '"MLFLOW_TRACKING_USERNAME": "admin"' not in json.dumps(template(kind))
