import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from pipelines.cells.cell import Cell
from pipelines.cells.launch import stopping_on_error
from pipelines.cells.run_cell import Outcome, Setting, run_cell
from pipelines.errors import StageInterrupted
from pipelines.recipes.recipe import load_stage_config
from pipelines.service import flow, slots
from pipelines.service.slots import SHARED, Slots
from pipelines.tracking.tracker import Tracker
from tests.tiny import write_recipe


@pytest.fixture(autouse=True)
def may_start() -> Iterator[None]:
    with stopping_on_error():
        yield


@pytest.fixture
def one_slot(prefect: None) -> Iterator[None]:
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(SHARED, 1)
    yield
    with get_client(sync_client=True) as client:
        client.delete_global_concurrency_limit_by_name(SHARED)


def most_at_once(pools: list[Slots]) -> int:
    """Threads that had a slot together, one thread for each of `pools`."""
    inside, most, lock = 0, 0, threading.Lock()

    def work(pool: Slots) -> None:
        nonlocal inside, most
        with pool.acquire():
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.3)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work, args=[pool]) for pool in pools]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most


def test_a_flow_has_its_own_slots(prefect: None) -> None:
    pool = Slots(2)
    assert most_at_once([pool] * 4) == 2


def order_of_work(pool: Slots, cells: dict[str, float]) -> list[str]:
    """The order in which cells have the slot, each of which asks after some seconds."""
    order: list[str] = []

    def work(name: str, seconds: float) -> None:
        time.sleep(seconds)
        with pool.acquire(name):
            order.append(name)
            time.sleep(0.3)

    threads = [threading.Thread(target=work, args=item) for item in cells.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return order


def test_the_most_urgent_has_the_first_slot(prefect: None) -> None:
    urgency = ["pretrain", "segment", "knn"]
    pool = Slots(1, urgency=urgency)
    pool.expect(urgency)
    assert order_of_work(pool, {"other": 0, "knn": 0.1, "segment": 0.2, "pretrain": 0.5}) == [
        *urgency,
        "other",
    ]


def test_a_slot_is_kept_for_the_next_to_come_but_not_for_long(
    prefect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "PATIENCE", 0.1)
    monkeypatch.setattr(slots, "COMING", 1.0)
    pool = Slots(1, urgency=["segment", "knn"])
    pool.expect(["segment"])
    assert order_of_work(pool, {"knn": 0, "segment": 0.5}) == ["segment", "knn"]
    pool.expect(["segment"])
    assert order_of_work(pool, {"knn": 0, "segment": 2}) == ["knn", "segment"]


def test_a_cell_that_needs_no_slot_holds_none_up(prefect: None) -> None:
    pool = Slots(1, urgency=["segment", "knn"])
    pool.expect(["segment"])
    pool.arrived("segment")
    assert order_of_work(pool, {"knn": 0}) == ["knn"]


def test_flows_share_the_servers_slots(one_slot: None) -> None:
    assert most_at_once([Slots(2), Slots(2)]) == 1


def test_a_wish_to_stop_ends_the_waiting(one_slot: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "PATIENCE", 0.5)
    with Slots(1).acquire():
        monkeypatch.setattr(slots, "stopping", lambda: True)
        with pytest.raises(StageInterrupted), Slots(1).acquire():
            pass


def test_two_flow_runs_on_one_slot_never_compute_together(
    one_slot: None, configs: Path, tracker: Tracker
) -> None:
    recipe = write_recipe(configs, ("knn", "finetune"), ("random",))
    command = [sys.executable, "-m", "pipelines.cli.main", "run", str(recipe)]
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    processes = [
        subprocess.Popen(
            [*command, "--work-dir", f"work-{number}", "-o", f"seed={number}"], env=environment
        )
        for number in range(2)
    ]
    assert [process.wait(300) for process in processes] == [0, 0]
    runs = [
        run
        for run in tracker.client.search_runs([tracker.experiment])
        if run.data.tags["stage"] != "benchmark"
    ]
    assert len(runs) == 4
    times = sorted((run.info.start_time, run.info.end_time) for run in runs)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(times))


@pytest.mark.parametrize(
    ("gpus", "devices", "expected"),
    [
        ("", 1, [None, None]),
        ("0", 1, [("0",), ("0",)]),
        ("0,1", 1, [("0",), ("1",)]),
        ("4,5,6,7", 2, [("4", "5"), ("6", "7")]),
        ("0,1", 8, [("0", "1"), ("0", "1")]),
    ],
)
def test_slots_share_the_machines_gpus(
    prefect: None, gpus: str, devices: int, expected: list[tuple[str, ...] | None]
) -> None:
    pool = Slots(2, tuple(filter(None, gpus.split(","))), devices)
    with pool.acquire() as first, pool.acquire() as second:
        assert [first, second] == expected


def test_few_shot_on_known_features_waits_for_no_gpu(
    prefect: None, shared: tuple[Setting, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, configs = shared

    def cell(episodes: int) -> Cell:
        config = load_stage_config(
            "few-shot", str(configs / "few-shot.py"), [f"episodes={episodes}"]
        )
        return Cell("few-shot", "random", "random", config)

    def run(cell: Cell) -> Outcome:
        return run_cell(cell, setting, partial(flow.slot_for, cell, setting.work_dir, pool))

    monkeypatch.setattr(flow, "visible_gpus", lambda: ("0",))
    pool = Slots(1, ("0",))
    assert not flow.needs_no_gpu(cell(5), setting.work_dir)
    assert run(cell(5)).status == "run"
    with pool.acquire():
        assert run(cell(6)).status == "run"
