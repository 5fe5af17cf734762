"""The benchmark as a service: failed, cancelled, bereft of its worker, of its server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Run
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun

from pipelines.service.deploy import FORGETS, OPEN
from pipelines.service.slots import SHARED
from tests.faults import arm
from tests.processes import gone, wait_for
from tests.services import PASSWORD, Services
from tests.tiny import write_configs, write_images, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


Listener = tuple[str, "Queue[dict[str, str]]"]


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    """An address that takes posts, and what was posted."""
    posted: Queue[dict[str, str]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", posted
    server.shutdown()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("service"), grace=5) as services:
        said = services.run("mae-bench", "deploy", "--slots", "1", "--notify", listener[0])
        assert FORGETS not in said.replace("\n", " ") and OPEN not in said
        services.start("worker")
        yield services


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    return write_configs(tmp_path / "configs", write_images(tmp_path / "data"))


@pytest.fixture
def recipe(configs: Path) -> Path:
    return write_recipe(configs, ("knn",), ("mae",))


def runs(services: Services, flow_run: FlowRun) -> dict[str, Run]:
    """The MLflow runs of a flow run, by name."""
    client = MlflowClient(services.environment["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("mae-bench").experiment_id
    (parent,) = client.search_runs([experiment], f"tags.prefect_flow_run LIKE '%{flow_run.id}%'")
    below = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    found = [parent, *client.search_runs([experiment], below)]
    return {run.info.run_name: run for run in found}


def hang(services: Services, configs: Path, recipe: Path, **parameters: object) -> FlowRun:
    """A flow run whose pretraining hangs, with a child that is deaf to SIGTERM."""
    arm(configs / "pretrain.fault", "hang", 10)
    run = services.submit(recipe=str(recipe), work_dir=str(recipe.parent / "work"), **parameters)
    wait_for(hanging(configs).exists)
    return run


def logs(services: Services, flow_run: FlowRun) -> str:
    """The lines that Prefect's UI shows of a flow run."""
    mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id]))
    return "\n".join(line.message for line in services.client.read_logs(mine))


def hanging(configs: Path) -> Path:
    """The file that the hanging stage writes, with its process and its child."""
    return configs / "pretrain.hangs"


@pytest.mark.parametrize(
    "foreign", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {}], ids=str
)
def test_no_foreign_page_can_command_the_worker(
    services: Services, foreign: dict[str, str]
) -> None:
    """Of another origin, of this machine by another name (DNS rebinding), or of none."""
    for path in ("flows/filter", "deployments/filter", "work_pools/filter"):
        answer = requests.post(f"{services.url}/{path}", json={}, headers=foreign, timeout=30)
        assert answer.status_code == 401
    asked = {**foreign, "Access-Control-Request-Method": "POST"}
    before = requests.options(f"{services.url}/flows/filter", headers=asked, timeout=30)
    assert "evil" not in before.headers.get("access-control-allow-origin", "")
    assert before.headers.get("access-control-allow-origin") != "*"
    mine = requests.post(
        f"{services.url}/flows/filter", json={}, auth=tuple(PASSWORD.split(":")), timeout=30
    )
    assert mine.status_code == 200


def test_another_password_is_one_message(services: Services) -> None:
    wrong = ("env", "PREFECT_API_AUTH_STRING=me:guessed")
    told = services.run(*wrong, "mae-bench", "submit", "demo", code=2)
    assert "wants another password" in told and "Traceback" not in told


def test_a_failed_cell_leaves_the_rest_and_is_told(
    services: Services, listener: Listener, configs: Path, recipe: Path
) -> None:
    arm(configs / "pretrain.fault", "raise", 2)
    both = {"encoders": ["mae", "random"], "work_dir": str(recipe.parent / "work")}
    run = services.wait(services.submit(recipe=str(recipe), **both))
    assert run.state_name == "Incomplete"
    message = listener[1].get(timeout=60)["text"]
    assert message.startswith(f"benchmark {recipe} is Incomplete: ")
    assert "pretrain[mae]: RuntimeError: the device is gone" in message
    assert f"/runs/flow-run/{run.id}" in message
    report = json.loads((recipe.parent / "work" / "report" / "report.json").read_text())
    assert [row["encoder"] for row in report["rows"]] == ["random"]
    expected = ("knn[random]: starts", "pretrain[mae]: failed")
    wait_for(lambda: all(line in logs(services, run) for line in expected))  # sent after the state
    assert services.wait(services.submit(**run.parameters)).state_name == "Completed"
    assert listener[1].empty()


def test_cancelling_stops_the_whole_tree_and_is_seen_in_mlflow(
    services: Services, configs: Path, recipe: Path
) -> None:
    run = hang(services, configs, recipe, devices=2)
    services.run("prefect", "flow-run", "cancel", str(run.id))
    assert services.wait(run).state_name == "Cancelled"
    stage, child = map(int, hanging(configs).read_text().split())
    wait_for(lambda: gone(stage) and gone(child) and not services.found("stage"))
    states = {name: found.info.status for name, found in runs(services, run).items()}
    assert states == {"tiny": "KILLED", "pretrain[mae]": "KILLED"}


def test_a_killed_worker_leaves_no_process_and_the_next_run_goes_on(
    services: Services, configs: Path, recipe: Path
) -> None:
    run = hang(services, configs, recipe)
    assert services.kill("worker")
    stage, child = map(int, hanging(configs).read_text().split())
    wait_for(lambda: gone(stage) and gone(child))
    wait_for(lambda: not services.found("flow") and not services.found("stage"))
    assert services.wait(run).state_name == "Crashed"
    services.start("worker")
    again = services.submit(**run.parameters)
    assert services.wait(again).state_name == "Completed"
    (log,) = (recipe.parent / "work").glob("stages/pretrain-*/log.txt")
    assert "resumed epoch" in log.read_text()


def test_a_server_that_restarts_loses_nothing(
    services: Services, configs: Path, recipe: Path
) -> None:
    pretrain = configs / "pretrain.py"
    pretrain.write_text(pretrain.read_text().replace("max_epochs=6", "max_epochs=200"))
    run = services.submit(recipe=str(recipe), work_dir=str(recipe.parent / "work"))
    wait_for(lambda: bool(services.found("stage")))
    assert services.kill("server")
    services.start("server")
    assert services.wait(run).state_name == "Completed"
    report = recipe.parent / "work" / "report" / "report.html"
    assert report.is_file()
    client = services.client
    assert client.read_global_concurrency_limit_by_name(SHARED).active_slots == 0
    own = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    tasks = client.read_task_runs(flow_run_filter=own)
    states = {task.name: task.state_name for task in tasks}
    assert states["pretrain[mae]"] == states["knn[mae]"] == states["report"] == "Completed"
