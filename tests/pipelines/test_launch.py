import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mae_core.engine.config import load_config
from mae_core.stage import StageResult
from pipelines.launch import (
    StageInterrupted,
    launch,
    stop_all,
    stopping_on_error,
)
from tests.faults import arm
from tests.processes import children, gone, wait_for


@pytest.fixture(autouse=True)
def may_start() -> Iterator[None]:
    with stopping_on_error():
        yield


def job_of(folder: Path, config: Path, *overrides: str) -> Path:
    folder.mkdir()
    load_config(str(config), overrides=overrides).dump(str(folder / "config.py"))
    (folder / "job.json").write_text(
        json.dumps(
            {
                "stage": config.stem,
                "encoder": "random",
                "config": str(folder / "config.py"),
                "work_dir": str(folder),
            }
        )
    )
    return folder / "job.json"


def start(job: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    launch(job, job.with_name("log.txt"), 1, events.append)
    return events


def test_a_stage_reports_in_order_and_leaves_its_result(configs: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", configs / "pretrain.py", "train_cfg.max_epochs=3")
    events = start(job)
    assert [e["step"] for e in events if e["event"] == "log"] == [10, 20, 24]
    assert [e["done"] for e in events if e["event"] == "progress"] == [10, 20, 24]
    result = StageResult.load(job.with_name("result.json"))
    assert result.files_exist()
    assert "Saving checkpoint at 3 epochs" in job.with_name("log.txt").read_text()


def test_stopping_leaves_no_process_behind_and_lets_no_other_start(
    configs: Path, tmp_path: Path
) -> None:
    job, later = (job_of(tmp_path / name, configs / "pretrain.py") for name in ("a", "b"))
    arm(configs / "pretrain.fault", "hang", 1)
    hangs = configs / "pretrain.hangs"
    with ThreadPoolExecutor() as pool:
        running = pool.submit(start, job)
        wait_for(lambda: hangs.exists() and bool(hangs.read_text()))
        stop_all()
        with pytest.raises(StageInterrupted):
            running.result()
    stage, child_deaf_to_sigterm = map(int, hangs.read_text().split())
    wait_for(lambda: gone(stage) and gone(child_deaf_to_sigterm))
    with pytest.raises(StageInterrupted):
        start(later)
    assert not later.with_name("log.txt").exists()


def test_a_consumer_that_fails_stops_the_stage(configs: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "job", configs / "pretrain.py", "train_cfg.max_epochs=10000")

    def fail(event: dict[str, Any]) -> None:
        raise ConnectionError("tracking is gone")

    with pytest.raises(ConnectionError, match="tracking is gone"):
        launch(job, job.with_name("log.txt"), 1, fail)
    assert not job.with_name("result.json").exists()
    assert not children(os.getpid())
