import time
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.servers import MLflowServer
from pipelines.tracking.delivery import Delivery, Undelivered
from pipelines.tracking.tracker import Tracker

TAGS = {"stage": "pretrain"}


def event(step: int, **values: float) -> dict[str, Any]:
    return {"event": "log", "step": step, "time": 1_000 + step, "values": {"loss": step, **values}}


def history(tracker: Tracker, run_id: str, name: str = "loss") -> list[tuple[int, float, int]]:
    points = tracker.client.get_metric_history(run_id, name)
    return [(point.step, point.value, point.timestamp) for point in points]


def expected(*steps: int) -> list[tuple[int, float, int]]:
    return [(step, step, 1_000 + step) for step in steps]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        server = MLflowServer(tmp_path_factory.mktemp("server"))
        yield server
        server.kill()


def test_points_arrive_in_order_once_however_often_they_are_sent(tracker: Tracker) -> None:
    run_id = tracker.start("a", TAGS)
    for steps in (range(5), range(3, 2500)):  # as after a resume
        with Delivery(tracker, run_id) as points:
            for step in steps:
                points.add(event(step))
    assert history(tracker, run_id) == expected(*range(2500))


def test_only_what_is_measured_is_sent(tracker: Tracker) -> None:
    run_id = tracker.start("a", TAGS)
    with Delivery(tracker, run_id) as points:
        points.add({"event": "progress", "done": 1, "total": 2, "unit": "step", "shown": {}})
        points.add(event(1, lr=0.5))
        points.add(event(2))
    assert history(tracker, run_id) == expected(1, 2)
    assert [step for step, *_ in history(tracker, run_id, "lr")] == [1]


def test_a_server_that_is_away_in_between_gets_every_step_once(server: MLflowServer) -> None:
    tracker = Tracker(server.url)
    run_id = tracker.start("a", TAGS)
    with Delivery(tracker, run_id) as points:
        for step in range(300):
            begun = time.monotonic()
            points.add(event(step))
            assert time.monotonic() - begun < 5, "the stage waits for the server"
            if step == 100:
                server.kill()
            if step == 200:
                server.start()
            time.sleep(0.01)
    assert history(tracker, run_id) == expected(*range(300))


@pytest.fixture(scope="module")
def away(server: MLflowServer) -> tuple[Tracker, str]:
    """A tracker whose server was killed, and a run's id."""
    tracker = Tracker(server.url)
    run_id = tracker.start("a", TAGS)
    server.kill()
    return tracker, run_id


def test_a_server_that_stays_away_is_told_after_a_while(away: tuple[Tracker, str]) -> None:
    with (
        pytest.raises(Undelivered, match="did not answer for 1 s; what was measured is kept"),
        Delivery(*away, patience=1) as points,
    ):
        points.add(event(1))


def test_the_blocks_own_error_comes_first(away: tuple[Tracker, str]) -> None:
    with (
        pytest.raises(ValueError, match="of the stage"),
        Delivery(*away, patience=0.5) as points,
    ):
        points.add(event(1))
        raise ValueError("of the stage")


def test_what_mlflow_refuses_is_told_at_once(tracker: Tracker) -> None:
    with (
        pytest.raises(Undelivered, match=r"refuses: .*no-run not found"),
        Delivery(tracker, "no-run") as points,
    ):
        points.add(event(1))
