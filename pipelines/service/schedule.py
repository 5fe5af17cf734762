"""Which cell has the longest way to go: the one to start first."""

from collections.abc import Sequence

from pipelines.cells.cell import Cell
from pipelines.tracking.tracker import Tracker

Planned = Sequence[tuple[Cell, str | None]]


def earlier_seconds(recipe: str, tracker: Tracker) -> dict[str, float]:
    """How long the cells of this recipe took, by name, the last time that each was computed."""
    seconds: dict[str, float] = {}
    for run in tracker.find(recipe=recipe, status="FINISHED"):
        seconds.setdefault(run.name, run.seconds)
    return seconds


def remaining(planned: Planned, seconds: dict[str, float]) -> dict[str, float]:
    """Seconds from each cell's start to the end of the last one that waits for it, by name.

    Args:
        planned: cells in an order in which none comes before the one that it takes its encoder
            from, and the name of that one.
        seconds: of a cell by name. One that is not there counts as long as the mean of those that
            are, or 1: then cells before others go first.
    """
    known = [seconds[cell.name] for cell, _ in planned if cell.name in seconds]
    usual = sum(known) / len(known) if known else 1.0
    path: dict[str, float] = {}
    behind: dict[str, float] = {}
    for cell, takes in reversed(planned):
        path[cell.name] = seconds.get(cell.name, usual) + behind.get(cell.name, 0.0)
        if takes:
            behind[takes] = max(behind.get(takes, 0.0), path[cell.name])
    return path


def by_urgency(planned: Planned, seconds: dict[str, float]) -> list[str]:
    """Names of the cells, the one with the longest way to go first.

    Equal ones keep the order of the recipe's tasks, which names the long ones first.
    """
    path = remaining(planned, seconds)
    stages = list(dict.fromkeys(cell.stage for cell, _ in planned))
    cells = [cell for cell, _ in planned]
    cells.sort(key=lambda cell: (-path[cell.name], stages.index(cell.stage)))
    return [cell.name for cell in cells]
