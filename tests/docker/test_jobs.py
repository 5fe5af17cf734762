"""The scripts for clusters run here with stand-ins for the cluster's own commands."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mae_core.config import find_config
from pipelines.cells import launch
from pipelines.cli.main import INTERRUPTED, USER_MISTAKE, app

DOCKER = Path(__file__).parents[2] / "docker"
RECIPE = "pretrain/vit-base-p16_8xb512-amp-coslr-800e_in1k"
COMMANDS = {
    "mae-bench": 'echo "$@" >> called; echo "$MAE_BENCH_GRACE" > grace; exit "${CODE:-0}"',
    "scontrol": '[ "$1" = show ] && printf "first\\nsecond\\n" || echo "$@" > requeued',
    "srun": """
while [[ "$1" == --* ]]; do shift; done
for SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@" || code=$?; done
exit "${code:-0}"
""",
}


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a job; what its commands were called with is written to `tmp_path`."""
    for name, body in COMMANDS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7"}
    return {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", **slurm}


def calls(folder: Path) -> list[dict[str, Any]]:
    """What the command line makes of the arguments that `mae-bench` was called with."""
    group = typer.main.get_command(app)
    found = []
    for line in (folder / "called").read_text().splitlines():
        command, *arguments = line.split()
        with group.commands[command].make_context(command, arguments) as context:
            found.append(context.params)
    return found


def sbatch(folder: Path, environment: dict[str, str], *arguments: str) -> int:
    command = ["bash", str(DOCKER / "slurm.sbatch"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment).returncode


def kubernetes() -> tuple[dict[str, Any], dict[str, Any]]:
    service, job = yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text())
    return service, job["spec"]


def test_slurm_starts_the_stage_on_the_first_machine_and_lends_it_the_others(
    machine: dict[str, str], tmp_path: Path
) -> None:
    assert sbatch(tmp_path, machine, RECIPE, "-o", "seed=1") == 0
    first, second = calls(tmp_path)
    assert (first["join"], second["join"]) == (False, True)
    assert first == {**second, "join": False}
    assert (first["config"], first["override"]) == (RECIPE, ["seed=1"])
    assert (first["nodes"], first["rendezvous"]) == (2, "first:29500")
    assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize(("code", "again"), [(INTERRUPTED, True), (USER_MISTAKE, False)])
def test_slurm_queues_again_what_was_interrupted(
    code: int, again: bool, machine: dict[str, str], tmp_path: Path
) -> None:
    assert sbatch(tmp_path, {**machine, "CODE": f"{code}"}, RECIPE) == code
    assert (tmp_path / "requeued").exists() == again


def test_kubernetes_starts_the_stage_in_the_first_pod_and_lends_it_the_others(
    machine: dict[str, str], tmp_path: Path
) -> None:
    service, job = kubernetes()
    (container,) = job["template"]["spec"]["containers"]
    own = {variable["name"]: variable["value"] for variable in container["env"]}
    assert int(own["NODES"]) == job["completions"] == job["parallelism"] == 2
    for index in range(2):
        command = [*container["command"], *container["args"]]
        environment = {**machine, **own, "JOB_COMPLETION_INDEX": f"{index}"}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    first, second = calls(tmp_path)
    assert (first["join"], second["join"]) == (False, True)
    assert find_config(first["config"]).is_file()
    host = f"mae-pretrain-0.{service['metadata']['name']}"
    assert (first["nodes"], first["rendezvous"]) == (2, f"{host}:29500")
    assert job["template"]["spec"]["subdomain"] == service["metadata"]["name"]


def test_kubernetes_tries_again_what_was_interrupted_and_not_a_mistake() -> None:
    _, job = kubernetes()
    by_code = {
        rule["onExitCodes"]["values"][0]: rule["action"]
        for rule in job["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
    }
    assert by_code == {INTERRUPTED: "Ignore", USER_MISTAKE: "FailJob"}


def test_both_leave_time_to_save(machine: dict[str, str], tmp_path: Path) -> None:
    _, job = kubernetes()
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    own = {variable["name"]: variable["value"] for variable in container["env"]}
    assert float(own[launch.GRACE]) < pod["terminationGracePeriodSeconds"]
    sbatch(tmp_path, {**machine, launch.GRACE: ""}, RECIPE)
    grace = float((tmp_path / "grace").read_text())
    (line,) = (s for s in (DOCKER / "slurm.sbatch").read_text().splitlines() if "--signal" in s)
    assert grace < int(line.rpartition("@")[2])
