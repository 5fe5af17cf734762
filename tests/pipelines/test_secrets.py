"""Passwords reach the servers that ask for them, and nothing that is kept or shown."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import get_current_settings

from benchmarks.servers import MLflowServer
from mae_core import UserError
from mae_core.stage import Metric, StageResult
from pipelines.service.flow import mae_full_benchmark
from pipelines.tracking.tracker import PASSWORD, USER, Tracker
from tests.faults import arm
from tests.tiny import write_recipe

CANARY = "canary-3f9d"  # begins every secret
VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "HF_TOKEN",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "PGPASSWORD",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_API_KEY",
    "SLACK_WEBHOOK_URL",
)
ACCOUNTS = """[mlflow]
database_uri = sqlite:///{folder}/accounts.db
admin_username = admin
admin_password = {password}
default_permission = READ
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account that a tracker takes from an address is forgotten after the test."""
    monkeypatch.setenv(USER, "")
    monkeypatch.setenv(PASSWORD, "")


@pytest.fixture
def server(tmp_path: Path, empty_database: Path) -> Iterator[MLflowServer]:
    (tmp_path / "mlflow").mkdir()
    shutil.copy(empty_database, tmp_path / "mlflow" / "server.db")
    server = MLflowServer(tmp_path / "mlflow")
    yield server
    server.kill()


def bytes_of(folder: Path) -> bytes:
    """Everything in a folder's files, and their names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(str(path).encode() + path.read_bytes() for path in files)


def prefects_database() -> str:
    """All that the Prefect server of the tests keeps, as SQL."""
    url = get_current_settings().server.database.connection_url.get_secret_value()
    with sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///")) as database:
        return "\n".join(database.iterdump())


def test_no_secret_is_in_what_a_benchmark_leaves(
    prefect: None,
    server: MLflowServer,
    configs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, f"{CANARY}-{name}")
    address = server.url.replace("//", f"//someone:{CANARY}-address@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    recipe = write_recipe(configs, ("knn", "finetune"), ("random",))
    arm(configs / "finetune.fault", "raise", 1)  # a failure is told, with the end of its log
    work, name = tmp_path / "work", "recipe-of-canaries"
    recipe = recipe.rename(recipe.with_stem(name))
    recipe.write_text(f"{recipe.read_text()}retries = 0\n")
    mae_full_benchmark(str(recipe), str(work))
    assert os.environ[PASSWORD] == f"{CANARY}-address"
    left = {
        "MLflow": bytes_of(tmp_path / "mlflow").decode(errors="replace"),
        "work dir": bytes_of(work).decode(errors="replace"),
        "Prefect": prefects_database(),
        "terminal": "".join(capfd.readouterr()),
    }
    for place in ("MLflow", "work dir", "Prefect"):
        assert name in left[place], f"nothing was searched: {place}"
    assert "the device is gone" in left["MLflow"] and "knn[random]" in left["terminal"]
    assert not [place for place, text in left.items() if CANARY in text]


def test_a_password_is_refused_as_a_parameter_which_prefect_shows(prefect: None) -> None:
    with pytest.raises(UserError, match=f"Prefect keeps and shows: .* {PASSWORD}") as error:
        mae_full_benchmark(tracking_uri=f"http://someone:{CANARY}@127.0.0.1:9")
    assert CANARY not in str(error.value)


@pytest.fixture
def guarded(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MLflowServer]:
    """A server that asks for a password."""
    shutil.copy(empty_database, tmp_path / "server.db")
    accounts = tmp_path / "accounts.ini"
    accounts.write_text(ACCOUNTS.format(folder=tmp_path, password=f"{CANARY}-admin"))
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(accounts))
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "sessions")
    server = MLflowServer(tmp_path, "--app-name", "basic-auth")
    yield server
    server.kill()


def test_a_run_is_tracked_with_a_password_and_a_wrong_one_is_explained(
    guarded: MLflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(USER, "admin")
    for wrong in ("", f"{CANARY}-wrong"):
        monkeypatch.setenv(PASSWORD, wrong)
        with pytest.raises(UserError, match=rf"\(HTTP 401\): set {USER} and {PASSWORD}") as error:
            Tracker(guarded.url)
        assert CANARY not in str(error.value)
    monkeypatch.setenv(PASSWORD, f"{CANARY}-admin")
    tracker = Tracker(guarded.url)
    run_id = tracker.start("knn[random]", {"stage": "knn"})
    (tmp_path / "encoder.safetensors").write_text("weights")
    result = StageResult({"knn/top1": Metric(0.5)}, str(tmp_path / "encoder.safetensors"))
    tracker.finish(run_id, result)
    assert tracker.finished(run_id)
    (tmp_path / "back").mkdir()
    run = tracker.get(run_id)
    back = tracker.fetch(run, "checkpoint/encoder.safetensors", tmp_path / "back")
    assert back.read_text() == "weights" and run.metrics == {"knn/top1": Metric(0.5)}
