"""`make services`: a benchmark through Prefect and MLflow on Postgres, then an orderly end."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from mlflow import MlflowClient

from tests.tiny import write_configs, write_images, write_recipe

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SCRIPT = ROOT / "scripts" / "services.py"
SERVICES = ("postgres", "mlflow", "prefect")
READY = "ready; in another terminal"

spec = importlib.util.spec_from_file_location("services", SCRIPT)
services = importlib.util.module_from_spec(spec)
spec.loader.exec_module(services)


def has_postgres() -> bool:
    try:
        return bool(services.postgres_programs())
    except services.Failure:
        return False


needs_postgres = pytest.mark.skipif(not has_postgres(), reason="Postgres is not installed")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """pytest's own folders are closed to Postgres's user, which the script runs as beside root."""
    with tempfile.TemporaryDirectory(prefix="mae-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    probes = [socket.socket() for _ in SERVICES]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return dict(zip(SERVICES, found, strict=True))


def start(folder: Path, ports: dict[str, int]) -> tuple[subprocess.Popen[str], str]:
    """The script once it is ready, and what it has said."""
    options = [f"--{name}-port={port}" for name, port in ports.items()]
    command = [sys.executable, str(SCRIPT), "--folder", str(folder / "kept"), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, text=True
    )
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith(READY):
            return process, said
    raise AssertionError(said)


@pytest.fixture(scope="module")
def running(folder: Path, ports: dict[str, int]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process, said = start(folder, ports)
    yield process, said
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def client(running: tuple[subprocess.Popen[str], str], folder: Path) -> dict[str, str]:
    """The variables that the script tells a user to take."""
    lines = (folder / "kept" / "env").read_text()
    return dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", lines, re.MULTILINE))


@needs_postgres
def test_a_benchmark_runs_on_the_worker_and_is_tracked_in_postgres(
    client: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = write_configs(folder / "configs", write_images(folder / "images", 5, train=7))
    recipe = write_recipe(configs, ("knn",), ("random",))
    target = ["mae-full-benchmark/demo", "-p", f"recipe={recipe}", "-p", f"work_dir={folder}/work"]
    command = [BIN / "prefect", "deployment", "run", *target, "--watch"]
    home = {"PREFECT_HOME": str(folder / "user"), "DO_NOT_TRACK": "true"}
    done = subprocess.run(command, env=os.environ | client | home, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    for name, value in client.items():
        monkeypatch.setenv(name, value)
    mlflow = MlflowClient()
    runs = mlflow.search_runs([mlflow.get_experiment_by_name("mae-bench").experiment_id])
    assert {run.data.tags["stage"]: run.info.status for run in runs} == {
        "benchmark": "FINISHED",
        "knn": "FINISHED",
    }
    (child,) = [run for run in runs if run.data.tags["stage"] == "knn"]
    assert "config.py" in {file.path for file in mlflow.list_artifacts(child.info.run_id)}
    assert not list((folder / "kept").rglob("*.db")), "kept in Postgres, not beside it"


@needs_postgres
def test_both_servers_refuse_a_wrong_password(client: dict[str, str]) -> None:
    prefect = f"{client['PREFECT_API_URL']}/admin/version"
    mlflow = f"{client['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1"
    right = {
        prefect: tuple(client["PREFECT_API_AUTH_STRING"].split(":")),
        mlflow: (client["MLFLOW_TRACKING_USERNAME"], client["MLFLOW_TRACKING_PASSWORD"]),
    }
    for url, (user, password) in right.items():
        assert requests.get(url, auth=(user, password)).status_code == 200
        assert requests.get(url, auth=(user, f"{password}x")).status_code == 401
        assert requests.get(url).status_code == 401


@needs_postgres
def test_secrets_are_neither_shown_nor_readable(
    running: tuple[subprocess.Popen[str], str], folder: Path
) -> None:
    known = services.read_secrets(folder / "kept" / "secrets.json").values()
    for path in ("env", "secrets.json"):
        assert (folder / "kept" / path).stat().st_mode & 0o777 == 0o600
    commands = [" ".join(process.cmdline()) for process in psutil.process_iter()]
    assert not [text for text in (running[1], *commands) if any(s in text for s in known)]


@needs_postgres
@pytest.mark.usefixtures("running")
def test_a_taken_port_is_told(ports: dict[str, int]) -> None:
    command = [sys.executable, SCRIPT, "--prefect-port", str(ports["prefect"])]
    command += ["--postgres-port", "0", "--mlflow-port", "0", "--folder", "/no/such"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == services.MISSING and "with --prefect-port" in done.stderr


@needs_postgres
def test_a_service_that_dies_ends_all(
    running: tuple[subprocess.Popen[str], str], client: dict[str, str]
) -> None:
    process, _ = running
    family = psutil.Process(process.pid).children(recursive=True)
    (worker,) = [one for one in family if one.cmdline()[1:] == [str(BIN / "mae-bench"), "worker"]]
    worker.kill()
    said, _ = process.communicate()
    assert process.returncode == services.FAILED
    assert "worker ended with code -9" in said and "ProcessWorker" in said
    assert not [one for one in family if one.is_running()]


@needs_postgres
def test_another_start_keeps_everything_and_sigterm_ends_all(
    client: dict[str, str], folder: Path, ports: dict[str, int]
) -> None:
    process, said = start(folder, ports)
    assert "initdb" not in said
    mlflow = f"{client['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/get-by-name"
    user = client["MLFLOW_TRACKING_USERNAME"], client["MLFLOW_TRACKING_PASSWORD"]
    found = requests.get(mlflow, params={"experiment_name": "mae-bench"}, auth=user)
    assert found.status_code == 200
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate()
    assert process.returncode == 0
    assert re.findall(r"stopping (\w+)", said) == ["worker", "prefect", "mlflow", "postgres"]
    assert len(family) > len(SERVICES) and not [one for one in family if one.is_running()]


def test_without_postgres_its_package_is_told(tmp_path: Path) -> None:
    script = (
        "import pathlib, runpy, sys; pathlib.Path.glob = lambda *_: iter(()); "
        f"sys.argv = ['x', '--folder', {str(tmp_path)!r}]; "
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    command = [sys.executable, "-c", script]
    nothing = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run(command, env=nothing, capture_output=True, text=True)
    assert done.returncode == services.MISSING
    assert "apt-get install postgresql" in done.stderr


def test_passwords_come_from_the_environment_and_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "first")
    first = services.read_secrets(tmp_path / "secrets.json")
    monkeypatch.setenv("POSTGRES_PASSWORD", "second")
    assert services.read_secrets(tmp_path / "secrets.json") == first
    assert first["POSTGRES_PASSWORD"] == "first"
    assert len({*first.values()}) == len(services.SECRETS)


@pytest.mark.parametrize("content", ["", "{", "3", "null"])
def test_damaged_passwords_are_not_replaced_by_new_ones(tmp_path: Path, content: str) -> None:
    """The databases beside them know the old ones only."""
    path = tmp_path / "secrets.json"
    path.write_text(content)
    with pytest.raises(services.Failure, match=r"secrets\.json is damaged"):
        services.read_secrets(path)
    assert path.read_text() == content


def test_passwords_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secrets.json"
    services.write_private(path, "old")
    monkeypatch.setattr(services.os, "fsync", failing)
    with pytest.raises(OSError):
        services.write_private(path, "new")
    assert path.read_text() == "old" and path.stat().st_mode & 0o777 == 0o600


def failing(_: int) -> None:
    raise OSError
