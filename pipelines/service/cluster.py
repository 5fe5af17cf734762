"""Cells spread over a Ray cluster: Ray decides where and when, we say what a cell needs."""

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from prefect.task_runners import TaskRunner

from mae_core.data.roots import DATA
from mae_core.errors import UserError
from pipelines.cells.launch import grace
from pipelines.cells.resources import Resources
from pipelines.environment import SECRET
from pipelines.tracking.tracker import shown

CLOSING = 30  # seconds after a stage's grace, for its end
PASSED_ON = ("MAE_BENCH_", "MLFLOW_")  # variables that the cluster's processes get, by prefix


def ray_runner(address: str) -> TaskRunner[Any]:
    """Starts tasks on the Ray cluster at `host:port` or `ray://host:port`.

    Raises:
        UserError: if prefect-ray is not installed, or no cluster answers there.
    """
    try:
        import ray
        from prefect_ray import RayTaskRunner
    except ImportError:
        raise UserError(
            f"ray={address} needs the package prefect-ray: install mae-bench[cluster]"
        ) from None
    variables = {DATA: os.getcwd(), **passed_on(os.environ)}
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), timeout=10).close()  # Ray tries for minutes
        ray.init(address, runtime_env={"env_vars": variables}, namespace="mae-bench")
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Ray cluster at {address} ({error}): start one with `ray start --head`, and join "
            "other machines with `ray start --address HOST:PORT`"
        ) from error
    return RayTaskRunner(address)  # uses the connection that is there


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that the cluster's processes get: no password, nor one within an address.

    Ray keeps and shows to everyone what its processes are given. Nodes have passwords of their own.
    """
    return {
        key: shown(value)
        for key, value in environment.items()
        if key.startswith(PASSED_ON) and not any(word in key for word in SECRET)
    }


def needs(resources: Resources, gpu: bool) -> AbstractContextManager[Any]:
    """Within the block tasks are submitted that need this of one node.

    Raises:
        UserError: if no node has that many GPUs.
    """
    import ray
    from prefect_ray.context import remote_options

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores, gpus = (max(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
    wanted = resources.devices if gpu and gpus else 0
    if wanted > gpus:
        raise UserError(
            f"devices={resources.devices}: the cluster's largest node has {gpus:.0f} GPU(s)"
        )
    return remote_options(
        num_cpus=min(resources.threads * resources.devices, cores),
        num_gpus=wanted,
        max_calls=0,  # Ray's processes serve further tasks: stages have processes of their own
    )


@contextmanager
def server_for_nodes() -> Iterator[None]:
    """Within the block tasks find Prefect's temporary server, if that is what this process uses.

    Each process of the cluster would start one of its own. On other machines they still do, as a
    temporary server is reached from its own machine only.
    """
    import ray
    from prefect.server.api.server import SubprocessASGIServer

    addresses = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    server = SubprocessASGIServer()  # the one of this process
    if get_current_settings().api.url or addresses != {ray.util.get_node_ip_address()}:
        yield
        return
    server.start()
    with temporary_settings({PREFECT_API_URL: server.api_url}):
        yield


def cancel(futures: Iterable[PrefectFuture[Any]]) -> None:
    """Stop the cells that are not done, as Ctrl-C would, and wait until they have saved.

    Those that are still there then are asked once more, as an interrupt may be lost between Ray's
    code and ours; in the end Ray kills their workers, and the stages end with these.
    """
    import ray

    left = [future.wrapped_future for future in futures]  # type: ignore[attr-defined]
    for force in (False, False, True):
        for reference in left:
            ray.cancel(reference, force=force)
        _, left = ray.wait(left, num_returns=len(left), timeout=grace() + CLOSING)
        if not left:
            return
