from mmengine.config import Config

from pipelines.cells.cell import Cell
from pipelines.service.schedule import by_urgency, earlier_seconds, remaining
from pipelines.tracking.tracker import Tracker

TASKS = ("segment", "finetune", "evaluate", "knn")
TAKES = {("evaluate", "mae"): "finetune[mae]", ("evaluate", "random"): "finetune[random]"}


def plan() -> list[tuple[Cell, str | None]]:
    """A benchmark's cells in their order: pretraining, and the tasks by row."""
    cells: list[tuple[Cell, str | None]] = [(Cell("pretrain", "mae", "random", Config()), None)]
    for row, source in (("mae", "pretrain[mae]"), ("random", None)):
        for task in TASKS:
            cells.append((Cell(task, row, "random", Config()), TAKES.get((task, row), source)))
    return cells


def test_what_waits_for_a_cell_counts_with_it() -> None:
    seconds = {"pretrain[mae]": 100.0, "segment[mae]": 50.0, "finetune[mae]": 20.0}
    path = remaining(plan(), seconds | {"evaluate[mae]": 40.0, "knn[mae]": 1.0})
    assert path["knn[mae]"] == 1
    assert path["finetune[mae]"] == 20 + 40
    assert path["pretrain[mae]"] == 100 + 20 + 40


def test_without_earlier_runs_the_recipes_order_decides() -> None:
    order = by_urgency(plan(), {})
    assert order[0] == "pretrain[mae]"
    assert order[1:3] == ["finetune[mae]", "finetune[random]"]  # one waits for each of them
    assert order[3:5] == ["segment[mae]", "segment[random]"]
    assert len(order) == 9


def test_the_longest_is_first_whatever_the_recipes_order() -> None:
    seconds = {cell.name: 1.0 for cell, _ in plan()} | {"knn[random]": 99.0}
    assert by_urgency(plan(), seconds)[0] == "knn[random]"


def test_seconds_are_those_of_the_last_run_of_the_recipe(tracker: Tracker) -> None:
    for recipe, name, seconds in (("a", "knn", 3), ("a", "knn", 5), ("b", "knn", 9)):
        run = tracker.start(name, {"recipe": recipe})
        begun = tracker.client.get_run(run).info.start_time
        tracker.client.set_terminated(run, "FINISHED", end_time=begun + 1000 * seconds)
    tracker.start("unfinished", {"recipe": "a"})
    assert earlier_seconds("a", tracker) == {"knn": 5}
    assert earlier_seconds("none", tracker) == {}
    assert earlier_seconds("somebody's", tracker) == {}
