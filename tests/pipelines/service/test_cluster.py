"""A benchmark over a Ray cluster of two nodes on this machine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import ray
from mlflow.entities import Run
from ray.cluster_utils import Cluster

from mae_core.errors import UserError
from pipelines.cells.resources import Resources
from pipelines.service.cluster import needs, passed_on, ray_runner
from pipelines.tracking.tracker import Tracker
from tests.faults import arm
from tests.processes import PATIENCE, gone, wait_for
from tests.tiny import write_recipe


@pytest.fixture(scope="module")
def cluster(prefect: None) -> Iterator[str]:
    """Two nodes of one core, each with what Ray takes for a GPU; the address of the first.

    They are started as by a shell's `&`, which has them ignore SIGINT.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1})
    made.add_node(num_cpus=1, num_gpus=1)
    signal.signal(signal.SIGINT, before)
    yield made.address
    made.shutdown()


@pytest.fixture
def connected(cluster: str) -> Iterator[None]:
    with ray_runner(cluster):
        yield
    ray.shutdown()


def start(address: str, recipe: Path) -> subprocess.Popen[bytes]:
    command = ["run", str(recipe), "--work-dir", "work", "--ray", address]
    return subprocess.Popen([sys.executable, "-m", "pipelines.cli.main", *command], env=os.environ)


def cells(tracker: Tracker) -> dict[str, Run]:
    found = tracker.client.search_runs([tracker.experiment])
    return {run.info.run_name: run for run in found}


def servers_of_ray() -> list[str]:
    """Commands of the Prefect servers that Ray's processes, which stay, have started."""
    found = {one.pid: one.info for one in psutil.process_iter(["ppid", "cmdline"])}
    lines = {pid: " ".join(info["cmdline"] or []) for pid, info in found.items()}
    ours = {pid for pid, line in lines.items() if line.startswith("ray::")}
    own = [lines[pid] for pid, info in found.items() if info["ppid"] in ours]
    return [line for line in own if "prefect.server" in line]


def test_cells_are_spread_over_both_nodes_and_wait_for_their_encoder(
    cluster: str, configs: Path, tracker: Tracker, tmp_path: Path
) -> None:
    recipe = write_recipe(configs, ("finetune", "knn"), ("mae", "random"))
    assert start(cluster, recipe).wait(400) == 0
    assert servers_of_ray() == []
    runs = cells(tracker)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert len(runs) == 6
    rows = json.loads((tmp_path / "work" / "report" / "report.json").read_text())["rows"]
    assert [row["encoder"] for row in rows] == ["mae", "mae", "random", "random"]
    stages = [run.info for name, run in runs.items() if name != "tiny"]
    times = sorted((info.start_time, info.end_time) for info in stages)
    assert any(begin < end for (_, end), (begin, _) in pairwise(times)), "one after the other"
    made = runs["pretrain[mae]"].info.end_time
    assert all(runs[f"{task}[mae]"].info.start_time >= made for task in ("finetune", "knn"))


def test_ctrl_c_stops_the_stages_on_the_nodes(
    cluster: str, configs: Path, tracker: Tracker
) -> None:
    recipe = write_recipe(configs, ("finetune",), ("mae",))
    arm(configs / "pretrain.fault", "hang", 20)
    hangs = configs / "pretrain.hangs"
    process = start(cluster, recipe)
    wait_for(lambda: hangs.exists() and bool(hangs.read_text()))
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 75
    stage, child = map(int, hangs.read_text().split())
    wait_for(lambda: gone(stage) and gone(child))
    assert {run.info.status for run in cells(tracker).values()} == {"KILLED"}


def test_a_stage_with_more_gpus_than_a_node_has_is_refused(connected: None) -> None:
    with pytest.raises(UserError, match=r"devices=2: the cluster's largest node has 1 GPU"):
        needs(Resources(devices=2), gpu=True)
    with needs(Resources(devices=2), gpu=False):
        pass


def test_no_password_goes_to_where_ray_keeps_and_shows_it() -> None:
    hidden = {
        "MLFLOW_TRACKING_PASSWORD": "x",
        "MLFLOW_TRACKING_TOKEN": "x",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "x",
        "MAE_BENCH_NOTIFY": "https://hooks.example/x",
        "PGPASSWORD": "x",
    }
    shown = {"MAE_BENCH_GRACE": "5", "MLFLOW_TRACKING_USERNAME": "me"}
    address = {"MLFLOW_TRACKING_URI": "http://me:x@host:5000"}
    assert passed_on({**hidden, **shown, **address}) == {
        **shown,
        "MLFLOW_TRACKING_URI": "http://host:5000",
    }


def test_no_cluster_is_told_with_the_command() -> None:
    with pytest.raises(UserError, match=r"no Ray cluster at 127.0.0.1:9 .*ray start --head"):
        ray_runner("127.0.0.1:9")
