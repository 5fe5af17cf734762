"""The compose file and the Dockerfile, by schema and linter: there is no Docker engine here."""

import json
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from mlflow.server.security_utils import is_allowed_host_header

from pipelines.cells.launch import GRACE
from pipelines.service.deploy import FILE

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
TEXT = (DOCKER / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
EXAMPLE = dict(
    line.removeprefix("# ").split("=", 1)
    for line in (DOCKER / ".env.example").read_text().splitlines()
    if re.match(r"(# )?[A-Z_]+=", line)
)
SECRET = re.compile("PASSWORD|SECRET|AUTH_STRING")
VARIABLE = re.compile(r"\$\{(\w+)(:\?|:-)?([^}]*)\}")
WORKERS = ("worker", "worker-cpu")


def test_it_fits_the_schema_of_compose() -> None:
    try:
        package = distribution("check-jsonschema")
    except PackageNotFoundError:
        pytest.skip("check-jsonschema, which brings the schema, is not installed")
    schema = package.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    jsonschema.validate(yaml.safe_load(TEXT), json.loads(Path(str(schema)).read_text()))


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKER / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_the_environment(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    secrets = {key: value for key, value in environment.items() if SECRET.search(key)}
    assert secrets
    for value in secrets.values():
        assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), "no default, and a message without it"
    said = [*SERVICES[name].get("command", []), *SERVICES[name].get("entrypoint", [])]
    assert not any(SECRET.search(word) for word in said), "everyone sees a command"


def test_the_example_names_every_variable_and_has_no_secret() -> None:
    used = {name: (how, default) for name, how, default in VARIABLE.findall(TEXT)}
    assert used.keys() == EXAMPLE.keys()
    for name, (how, default) in used.items():
        assert EXAMPLE[name] == (default if how == ":-" else "")


@pytest.mark.parametrize("name", SERVICES)
def test_only_this_machine_reaches_it(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
    assert "network_mode" not in SERVICES[name] and not SERVICES[name].get("privileged")


@pytest.mark.parametrize("name", SERVICES)
def test_it_waits_for_what_it_needs(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert SERVICES[needed]["healthcheck"]["test"][0] == "CMD"
        else:
            assert how["condition"] == "service_completed_successfully"
            assert "healthcheck" not in SERVICES[needed]


def test_images_of_others_are_pinned() -> None:
    images = [s["image"] for s in SERVICES.values() if "build" not in s]
    dockerfile = (DOCKER / "Dockerfile").read_text()
    images += [f"x:{tag}" for tag in re.findall(r"^ARG PYTHON=(.+)", dockerfile, re.M)]
    assert len(images) == 2
    assert all(re.search(r":\d+\.\d+[\w.-]*$", image) for image in images)


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_may_only_read_the_data_and_has_the_time_to_save(name: str) -> None:
    worker = SERVICES[name]
    (data,) = [volume for volume in worker["volumes"] if "/data" in volume]
    assert data.endswith(":/data:ro") and worker["environment"]["MAE_BENCH_DATA"] == "/data"
    assert float(worker["environment"][GRACE]) < float(worker["stop_grace_period"].rstrip("s"))
    assert worker["command"] == ["worker"]  # of the image's entry point, mae-bench


def test_one_worker_has_gpus_and_only_one_starts() -> None:
    gpu, cpu = (SERVICES[name] for name in WORKERS)
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"] and "deploy" not in cpu
    assert (gpu["profiles"], cpu["profiles"]) == (["gpu"], ["cpu"])


@pytest.mark.parametrize("host", ["mlflow:5000", "127.0.0.1:5000", "localhost:8080"])
def test_mlflow_answers_by_the_names_it_is_called(host: str) -> None:
    (option,) = [o for o in SERVICES["mlflow"]["command"] if o.startswith("--allowed-hosts=")]
    allowed = option.partition("=")[2].split(",")
    assert is_allowed_host_header(allowed, host)
    assert not is_allowed_host_header(allowed, "elsewhere.example:5000")


def test_what_the_services_open_is_in_the_image() -> None:
    sent = (ROOT / ".dockerignore").read_text()
    accounts = SERVICES["mlflow"]["environment"]["MLFLOW_AUTH_CONFIG_PATH"]
    opened = [accounts.removeprefix("/opt/mae-bench/"), FILE, SERVICES["accounts"]["entrypoint"][1]]
    for path in opened:
        assert (ROOT / path).is_file() and f"!{path}\n" in sent


def test_databases_are_those_that_the_servers_open() -> None:
    made = re.findall(r"CREATE DATABASE (\w+);", (DOCKER / "databases.sql").read_text())
    accounts = ConfigParser()
    accounts.read(DOCKER / "mlflow-auth.ini")
    opened = {url.rpartition("/")[2] for url in re.findall(r"postgresql\+\w+:///\w+", TEXT)}
    opened.add(accounts["mlflow"]["database_uri"].rpartition("/")[2])
    assert opened == set(made)


def test_only_the_service_that_makes_accounts_is_mlflows_admin() -> None:
    admins = [name for name in SERVICES if "MLFLOW_ADMIN_PASSWORD" in str(SERVICES[name])]
    assert admins == ["mlflow", "accounts"]
    for name in WORKERS:
        assert SERVICES[name]["environment"]["MLFLOW_TRACKING_USERNAME"] == "mae-bench"


def test_prefect_asks_for_a_password_and_answers_pages_of_its_own_only() -> None:
    environment = SERVICES["prefect"]["environment"]
    assert "PREFECT_AUTH_STRING" in environment["PREFECT_SERVER_API_AUTH_STRING"]
    assert environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].startswith("http://127.0.0.1:")
