"""The README's way: a Prefect server, a worker, the deployment of the demo; then the CLI again."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
TASKS = ("detect", "segment", "finetune", "linear-probe", "knn", "few-shot")
FEW_SHOT = [f"few-shot/{ways}way{shots}shot" for ways in (5, 10) for shots in (1, 5)]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Everything that the services keep lies in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("demo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))},
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "WORK_DIR": str(folder / "work"),
        "DO_NOT_TRACK": "true",
    }


@pytest.fixture(scope="module")
def deployed(environment: dict[str, str]) -> Path:
    """The work dir after `prefect deployment run mae-full-benchmark/demo`."""
    with service(environment, "prefect", "server", "start"):
        wait_for(environment["PREFECT_API_URL"] + "/health")
        run(environment, "prefect", "work-pool", "create", "mae-bench", "--type", "process")
        run(environment, "prefect", "--no-prompt", "deploy", "--all")
        with service(environment, "prefect", "worker", "start", "--pool", "mae-bench"):
            target = ["mae-full-benchmark/demo", "-p", f"work_dir={environment['WORK_DIR']}"]
            run(environment, "prefect", "deployment", "run", *target, "--watch")
    return Path(environment["WORK_DIR"])


@pytest.fixture(scope="module")
def metrics(deployed: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Value and interval by encoder and metric, from report.json."""
    rows = json.loads((deployed / "report" / "report.json").read_text())["rows"]
    found: dict[str, dict[str, tuple[float, float]]] = {"mae": {}, "random": {}}
    for row in rows:
        name = f"{row['task']}/{row['metric']}"
        found[row["encoder"]][name] = row["value"], row["ci95"] or 0.0
    return found


@pytest.mark.parametrize("name", ["linear-probe/top1", "knn/top1", *FEW_SHOT])
def test_pretraining_helps_frozen_features_by_more_than_the_intervals(
    metrics: dict[str, dict[str, tuple[float, float]]], name: str
) -> None:
    (mae, mae_ci), (random, random_ci) = metrics["mae"][name], metrics["random"][name]
    assert mae - random > mae_ci + random_ci


@pytest.mark.parametrize(
    "name", ["fine-tune/top1", "detect/box_AP", "detect/mask_AP", "segment/mIoU"]
)
def test_pretraining_does_not_harm_what_is_trained_on(
    metrics: dict[str, dict[str, tuple[float, float]]], name: str
) -> None:
    assert metrics["mae"][name][0] >= metrics["random"][name][0]


@pytest.mark.parametrize("name", ["detect/box_AP50", "segment/mIoU"])
def test_dense_tasks_learn(metrics: dict[str, dict[str, tuple[float, float]]], name: str) -> None:
    assert metrics["mae"][name][0] > 0.45


def test_the_report_has_its_pictures(deployed: Path) -> None:
    report = deployed / "report"
    html = (report / "report.html").read_text()
    pictures = sorted(file.name for file in report.glob("*.png"))
    assert html.count("data:image/png;base64,") == len(pictures)
    for kind in (
        "loss",
        "few-shot",
        "pretrain-reconstruction",
        "detect-overlay",
        "segment-overlay",
    ):
        assert any(name.startswith(kind) for name in pictures), kind


def test_mlflow_has_the_parent_and_a_child_for_each_stage_and_encoder(
    deployed: Path, environment: dict[str, str]
) -> None:
    client = MlflowClient(environment["MLFLOW_TRACKING_URI"])
    runs = client.search_runs([client.get_experiment_by_name("mae-bench").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (parent,) = [run for run in runs if run.data.tags["stage"] == "benchmark"]
    children = [
        run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]
    cells = {(run.data.tags["stage"], run.data.tags["encoder"]) for run in children}
    expected = {(task, encoder) for task in TASKS for encoder in ("mae", "random")}
    assert cells == expected | {("pretrain", "mae")}
    assert len(children) == len(cells)
    for child in children:
        files = {file.path for file in client.list_artifacts(child.info.run_id)}
        assert {"config.py", "log.txt"} <= files
        assert {"fingerprint", "recipe"} <= child.data.tags.keys()


def test_running_it_again_by_cli_reuses_every_stage(
    deployed: Path, environment: dict[str, str]
) -> None:
    before = (deployed / "report" / "report.json").read_text()
    environment = {key: value for key, value in environment.items() if key != "PREFECT_API_URL"}
    said = run(environment, "mae-bench", "run", "demo", "--work-dir", str(deployed))
    assert said.count("reused") == 2 * len(TASKS) + 1
    assert (deployed / "report" / "report.json").read_text() == before


@contextmanager
def service(environment: dict[str, str], *command: str) -> Iterator[None]:
    """A command that runs until the block ends."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def run(environment: dict[str, str], *command: str) -> str:
    """What a command printed; it must succeed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def wait_for(url: str) -> None:
    """Return once the server answers."""
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(1)
    raise AssertionError(f"{url} does not answer")
