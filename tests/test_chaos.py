"""A benchmark that is killed, damaged and hindered at random ends as an undisturbed one.

Faults come in pairs, the second one while the first one's work is not yet made good, if it can.
`MAE_BENCH_ROUNDS` sets the number of faults, `MAE_BENCH_SEED` another order of them.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults import arm
from tests.processes import wait_for
from tests.services import Services
from tests.tiny import write_configs, write_images, write_recipe

ROUNDS = int(os.environ.get("MAE_BENCH_ROUNDS", "10"))
SEED = int(os.environ.get("MAE_BENCH_SEED", "0"))
PARTS = ("flow", "stage", "worker", "server")  # that are killed
LOCKED = 22  # seconds, of which SQLite waits 20
FULL = 5  # seconds
QUIET = 60  # seconds without a process after which nobody works at a run: all were killed at once
SMALL_DISK = "48m"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 + 120 * ROUNDS)]


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a benchmark whose pretraining, made slow, outlives all faults."""
    folder = tmp_path_factory.mktemp("chaos")
    configs = write_configs(folder / "configs", write_images(folder / "data"))
    pretrain = configs / "pretrain.py"
    pretrain.write_text(pretrain.read_text().replace("max_epochs=6", f"max_epochs={25 * ROUNDS}"))
    return configs


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path | None]:
    """A small disk of its own; None where it cannot be had, which takes root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        yield None
        return
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Submitted:
    """A benchmark's flow run, submitted again as long as it is not completed."""

    def __init__(self, services: Services, **parameters: str) -> None:
        self.services, self.parameters = services, parameters
        self.run, self.seen = services.submit(**parameters), time.monotonic()

    def keep(self) -> None:
        """Start what was killed; submit the run again if it failed, or nobody is left to end it."""
        self.services.start("server")
        self.services.start("worker")
        if self.services.found("flow"):
            self.seen = time.monotonic()
        left = time.monotonic() - self.seen > QUIET
        if (self.services.ended(self.run) or left) and not self.completed:
            self.run, self.seen = self.services.submit(**self.parameters), time.monotonic()

    @property
    def completed(self) -> bool:
        return self.services.read(self.run).state_name == "Completed"


class Chaos:
    """The faults that a benchmark in `work` meets, on the disk `disk` if that can be filled."""

    def __init__(self, services: Services, work: Path, disk: Path | None) -> None:
        self.services, self.work, self.disk = services, work, disk
        self.rng = random.Random(SEED)
        self.faults: dict[str, Callable[[], bool]] = {
            **{part: lambda part=part: services.kill(part) for part in PARTS},
            "terminal closed": lambda: services.kill("flow", signal.SIGHUP),
            "finished file": self.damage_finished,
            "checkpoint": self.damage_checkpoint,
            "events": self.cut_events,
            "database": self.lock_database,
        }
        if disk:
            self.faults["disk"] = self.fill_disk

    def drawn(self) -> list[str]:
        """Each fault once, as far as there are rounds, others at random, in a random order."""
        names = list(self.faults)
        drawn = names[:ROUNDS] + self.rng.choices(names, k=max(ROUNDS - len(names), 0))
        self.rng.shuffle(drawn)
        return drawn

    def damage_finished(self) -> bool:
        """Turn bits of a finished cell's file, cut it, or remove it."""
        if not self.finished_files():
            return False
        self.stop_writing()
        file = self.rng.choice(self.finished_files())
        self.rng.choice([self.turn_bits, self.cut, Path.unlink])(file)
        return True

    def damage_checkpoint(self) -> bool:
        """Turn bits of the newest checkpoint of a training."""
        if len(list(self.work.glob("stages/pretrain-mae-*/step_*.pth"))) < 2:
            return False
        self.stop_writing()
        found = self.work.glob("stages/pretrain-mae-*/step_*.pth")
        self.turn_bits(max(found, key=lambda path: path.stat().st_mtime))
        return True

    def cut_events(self) -> bool:
        """Cut the last line of a cell's events."""
        if not self.events():
            return False
        self.stop_writing()
        self.cut(self.rng.choice(self.events()), self.rng.randint(1, 20))
        return True

    def finished_files(self) -> list[Path]:
        files = []
        for result in self.work.glob("stages/*/result.json"):
            content = json.loads(result.read_text())
            named = [*content["artifacts"].values(), content["checkpoint"]]
            files += [result.parent / name for name in named if name]
        return sorted(file for file in files if file.exists())

    def events(self) -> list[Path]:
        found = self.work.glob("stages/*/events.jsonl")
        return sorted(file for file in found if file.stat().st_size > 40)

    def stop_writing(self) -> None:
        self.services.kill("flow")
        self.services.kill("stage")
        wait_for(lambda: not self.services.found("stage"))

    def turn_bits(self, file: Path) -> None:
        content = bytearray(file.read_bytes())
        start = self.rng.randrange(len(content))
        part = content[start : start + 64]
        content[start : start + 64] = bytes(byte ^ 255 for byte in part)
        file.write_bytes(content)

    def cut(self, file: Path, size: int | None = None) -> None:
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2 if size is None else -size])

    def lock_database(self) -> bool:
        with closing(sqlite3.connect(self.services.folder / "mlflow.db", timeout=60)) as database:
            database.execute("BEGIN EXCLUSIVE")
            time.sleep(LOCKED)
        return True

    def fill_disk(self) -> bool:
        assert self.disk
        filling = self.disk / "filling"
        with filling.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        time.sleep(FULL)
        filling.unlink()
        return True


def numbers(work_dir: Path) -> list[dict[str, Any]]:
    """The report's rows without the ids of their runs."""
    rows = json.loads((work_dir / "report" / "report.json").read_text())["rows"]
    for row in rows:
        del row["mlflow_run_id"]
    return rows


def test_faults_leave_the_report_of_an_undisturbed_run(
    configs: Path, tmp_path: Path, disk: Path | None
) -> None:
    recipe = str(write_recipe(configs, ("finetune", "few-shot"), ("mae", "random")))
    with Services(tmp_path / "undisturbed") as services:
        expected = tmp_path / "undisturbed" / "work"
        services.run("mae-bench", "run", recipe, "--work-dir", str(expected))
    work = (disk or tmp_path / "disturbed") / "work"
    with Services(tmp_path / "disturbed") as services:
        services.run("mae-bench", "deploy", "--slots", "8")
        arm(configs / "pretrain.fault", "outlast", 0)
        benchmark = Submitted(services, recipe=recipe, work_dir=str(work))
        chaos = Chaos(services, work, disk)
        faults = chaos.drawn()
        for first in range(0, len(faults), 2):
            waiting = pair = faults[first : first + 2]
            while waiting:
                benchmark.keep()
                assert not benchmark.completed, "nothing is left to kill"
                if services.found("stage"):
                    time.sleep(chaos.rng.uniform(0, 4))
                    waiting = [fault for fault in waiting if not chaos.faults[fault]()]
                time.sleep(0.5)
            print(*pair, sep=", ")
        (configs / "pretrain.fault").unlink()
        while not benchmark.completed:
            benchmark.keep()
            time.sleep(1)
        assert numbers(work) == numbers(expected)
        assert not services.found("stage")
