"""A benchmark whose parts are killed at random ends with the report of an undisturbed one."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults import arm
from tests.services import Services
from tests.tiny import write_configs, write_images, write_recipe

KILLS = 10
PARTS = ("flow", "stage", "worker", "server")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a benchmark whose pretraining, made slow, outlives all kills."""
    folder = tmp_path_factory.mktemp("chaos")
    configs = write_configs(folder / "configs", write_images(folder / "data"))
    pretrain = configs / "pretrain.py"
    pretrain.write_text(pretrain.read_text().replace("max_epochs=6", "max_epochs=250"))
    return configs


def numbers(work_dir: Path) -> list[dict[str, Any]]:
    """The report's rows without the ids of their runs."""
    rows = json.loads((work_dir / "report" / "report.json").read_text())["rows"]
    for row in rows:
        del row["mlflow_run_id"]
    return rows


def victims(rng: random.Random) -> list[str]:
    """Each part at least twice, in a random order."""
    drawn = [*PARTS * 2, *rng.sample(PARTS, KILLS - 2 * len(PARTS))]
    rng.shuffle(drawn)
    return drawn


def test_ten_kills_leave_the_report_of_an_undisturbed_run(configs: Path, tmp_path: Path) -> None:
    recipe = str(write_recipe(configs, ("finetune", "few-shot"), ("mae", "random")))
    with Services(tmp_path / "undisturbed") as services:
        expected = tmp_path / "undisturbed" / "work"
        services.run("mae-bench", "run", recipe, "--work-dir", str(expected))
    rng, work = random.Random(0), tmp_path / "disturbed" / "work"
    with Services(tmp_path / "disturbed") as services:
        services.run("mae-bench", "deploy", "--slots", "8")
        arm(configs / "pretrain.fault", "slow", 0)
        run = services.submit(recipe=recipe, work_dir=str(work))
        for part in victims(rng):
            killed = False
            while not killed:
                services.start("server")
                services.start("worker")
                if services.ended(run):
                    assert services.read(run).state_name != "Completed", "nothing is left to kill"
                    run = services.submit(recipe=recipe, work_dir=str(work))
                if services.found("stage"):
                    time.sleep(rng.uniform(0, 4))
                    killed = services.kill(part)
                time.sleep(0.2)
        (configs / "pretrain.fault").unlink()
        services.start("server")
        services.start("worker")
        if services.wait(run).state_name != "Completed":
            run = services.wait(services.submit(recipe=recipe, work_dir=str(work)))
        assert run.state_name == "Completed"
        assert numbers(work) == numbers(expected)
        assert not services.found("stage")
