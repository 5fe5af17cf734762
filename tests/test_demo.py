"""The README's way: a Prefect server, a worker, the deployment of the demo; then the CLI again."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Page, expect
from prefect.client.schemas.objects import TaskRun

from pipelines.recipes.matrix import planned_cells
from pipelines.recipes.recipe import load_recipe
from pipelines.report.differences import TASK
from tests.browser import (
    CHROMIUM,
    DESKTOP,
    PHONE,
    browser,
    choose_metric,
    open_comparison,
    opened,
)
from tests.services import PASSWORD, Services

SCREENSHOTS = os.environ.get("MAE_BENCH_SCREENSHOTS")  # folder that keeps them, for the docs
TASKS = ("detect", "segment", "finetune", "linear-probe", "knn", "few-shot")
FEW_SHOT = [f"few-shot/{ways}way{shots}shot" for ways in (5, 10) for shots in (1, 5)]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("demo")) as services:
        yield services


@pytest.fixture(scope="module")
def deployed(services: Services) -> Path:
    """The work dir after `prefect deployment run mae-full-benchmark/demo`."""
    work_dir = services.folder / "work"
    services.run("mae-bench", "deploy")
    services.start("worker")
    target = ["mae-full-benchmark/demo", "-p", f"work_dir={work_dir}"]
    services.run("prefect", "deployment", "run", *target, "--watch")
    return work_dir


@pytest.fixture(scope="module")
def metrics(deployed: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Value and interval by encoder and metric, from report.json."""
    rows = json.loads((deployed / "report" / "report.json").read_text())["rows"]
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for row in rows:
        name = f"{row['task']}/{row['metric']}"
        found.setdefault(row["encoder"], {})[name] = row["value"], row["ci95"] or 0.0
    return found


@pytest.fixture(scope="module")
def planned(deployed: Path) -> dict[str, str | None]:
    """By each cell's name that of the one that makes its encoder."""
    return {cell.name: makes for cell, makes in planned_cells(load_recipe("demo"))}


@pytest.fixture(scope="module")
def against_random(deployed: Path) -> dict[str, dict[str, str]]:
    """What the report says of `mae` against `random`, by metric."""
    said = json.loads((deployed / "report" / "report.json").read_text())["comparisons"]
    return {f"{one['task']}/{one['metric']}": one for one in said if one["baseline"] == "random"}


@pytest.mark.parametrize("name", ["linear-probe/top1", "knn/top1", *FEW_SHOT])
def test_pretraining_helps_frozen_features_whatever_the_tasks_seeds(
    against_random: dict[str, dict[str, str]], name: str
) -> None:
    assert against_random[name]["verdict"] == "better"
    assert against_random[name]["about"] == TASK


@pytest.mark.parametrize(
    "name", ["fine-tune/top1", "detect/box_AP", "detect/mask_AP", "segment/mIoU"]
)
def test_pretraining_does_not_harm_what_is_trained_on(
    against_random: dict[str, dict[str, str]], name: str
) -> None:
    assert against_random[name]["verdict"] in ("better", "no difference shown")


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


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("report-desktop", DESKTOP, "light"), ("report-phone", PHONE, "dark")],
)
def test_the_report_is_a_page(
    deployed: Path, tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    with browser(width) as page:
        page.emulate_media(color_scheme=scheme)
        said = opened(page, deployed / "report" / "report.html")
        shoot(page, name, tmp_path)
    assert said == []


def test_mlflow_has_the_parent_and_a_child_for_each_stage_and_encoder(
    deployed: Path, services: Services, planned: dict[str, str | None]
) -> None:
    client = MlflowClient(services.environment["MLFLOW_TRACKING_URI"])
    runs = client.search_runs([client.get_experiment_by_name("mae-bench").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (parent,) = [run for run in runs if run.data.tags["stage"] == "benchmark"]
    children = [
        run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]
    assert sorted(run.info.run_name for run in children) == sorted(planned)
    for child in children:
        files = {file.path for file in client.list_artifacts(child.info.run_id)}
        assert {"config.py", "log.txt"} <= files
        assert {"fingerprint", "recipe"} <= child.data.tags.keys()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_prefects_ui_shows_the_graph_the_table_and_the_progress(
    deployed: Path,
    services: Services,
    planned: dict[str, str | None],
    page: Page,
    tmp_path: Path,
) -> None:
    address = services.url.removesuffix("/api")
    client = services.client
    (run,) = client.read_flow_runs()
    tasks = {task.name: task for task in client.read_task_runs(limit=200)}
    (table,) = (found for found in client.read_artifacts() if found.key == "mae-bench-report")
    upstream = {name: above(task) for name, task in tasks.items()}
    assert tasks.keys() == {*planned, "data check", "report"}
    for name, makes in planned.items():
        source = {makes} if makes else set()
        assert {task.name for task in tasks.values() if task.id in upstream[name]} == {
            "data check",
            *source,
        }
    assert {tasks[name].id for name in planned} <= upstream["report"]

    sign_in(page, address)
    page.goto(f"{address}/runs/flow-run/{run.id}")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    expect(page.locator("canvas").first).to_be_visible()
    page.wait_for_timeout(3000)  # until the graph is drawn
    shoot(page, "prefect-run", tmp_path)
    page.get_by_text("Task Runs", exact=True).click()
    for name in (f"{task}[mae]" for task in TASKS):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    page.goto(f"{address}/artifacts/artifact/{table.id}")
    for text in ("mae", "random", "kNN, top-1 (10,000 labelled images)"):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    shoot(page, "prefect-table", tmp_path)


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_mlflows_ui_shows_the_child_runs_below_the_benchmark(
    deployed: Path, services: Services, page: Page, tmp_path: Path
) -> None:
    services.start("mlflow")
    client = MlflowClient(services.environment["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("mae-bench").experiment_id
    (parent,) = client.search_runs([experiment], "tags.stage = 'benchmark'")
    page.goto(f"http://127.0.0.1:{services.mlflow_port}/#/experiments/{experiment}/runs")
    page.get_by_role("button", name="Close").click()  # the assistant
    page.get_by_role("row").filter(has_text=parent.info.run_name).get_by_role(
        "button"
    ).first.click()
    for name in ("pretrain[mae]", f"{TASKS[0]}[random]"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    shoot(page, "mlflow-runs", tmp_path)


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
def test_mlflows_ui_compares_two_encoders(
    deployed: Path, services: Services, page: Page, tmp_path: Path
) -> None:
    services.start("mlflow")
    client = MlflowClient(services.environment["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("mae-bench").experiment_id
    found = client.search_runs([experiment], "tags.stage = 'finetune'")
    names = ("finetune[mae]", "finetune[random]")
    runs = [run for name in names for run in found if run.info.run_name == name]
    server = f"http://127.0.0.1:{services.mlflow_port}"
    page = page.context.browser.new_page(viewport=page.viewport_size)  # a visitor's first page
    open_comparison(page, server, experiment, [run.info.run_id for run in runs])
    page.get_by_role("switch").first.click()  # of the parameters only those that differ
    row = page.get_by_role("row").filter(has_text="encoder.name")
    expect(row).to_have_text("encoder.namemaerandom")
    choose_metric(page, "fine-tune/top1")
    shoot(page, "mlflow-compare", tmp_path)


def test_running_it_again_by_cli_reuses_every_stage(
    deployed: Path,
    services: Services,
    planned: dict[str, str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = (deployed / "report" / "report.json").read_text()
    monkeypatch.delitem(services.environment, "PREFECT_API_URL")
    said = services.run("mae-bench", "run", "demo", "--work-dir", str(deployed))
    assert said.count("reused") == len(planned)
    assert (deployed / "report" / "report.json").read_text() == before


def above(task: TaskRun) -> set[UUID]:
    """Ids of the task runs that a task run's inputs come from."""
    return {
        source.id
        for inputs in task.task_inputs.values()
        for source in inputs
        if hasattr(source, "id")
    }


def sign_in(page: Page, address: str) -> None:
    """Give Prefect's page the password that it asks for."""
    page.goto(address)
    page.get_by_role("textbox").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Runs", exact=True)).to_be_visible()


def shoot(page: Page, name: str, folder: Path) -> None:
    """Keep a screenshot."""
    page.screenshot(path=Path(SCREENSHOTS or folder) / f"{name}.png")
