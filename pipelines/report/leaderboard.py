"""`mae-bench leaderboard`: every encoder ever tested on a task, ranked under the same protocol."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mae_core.errors import UserError, suggest
from pipelines.report.collect import Row, joined, outcomes_of
from pipelines.report.differences import covers
from pipelines.report.encoders import Facts, facts_of
from pipelines.report.names import (
    is_known,
    lower_is_better,
    metrics_of,
    number,
    order,
    other_unit,
    title,
    unit,
)
from pipelines.report.protocol import protocol, stored_config
from pipelines.stages import stage_of
from pipelines.tracking.stored_run import StoredRun
from pipelines.tracking.tracker import Tracker

SHORT = 8  # characters of a run's id, and of a protocol's hash


@dataclass(frozen=True)
class Place:
    """An encoder on the board: its number, and the benchmark or single stage that it is from."""

    row: Row
    recipe: str
    date: str
    benchmark: str
    facts: Facts

    @property
    def origin(self) -> str:
        """Such as 'demo, 2026-11-26, run 1a2b3c4d'."""
        run_id = self.benchmark or self.row.mlflow_run_id
        return f"{self.recipe}, {self.date}, run {run_id[:SHORT]}"


@dataclass(frozen=True)
class Board:
    """What was tested under one protocol, the best first.

    Attributes:
        protocol: hash of the stage's config and data, see
            :func:`pipelines.report.protocol.protocol`.
        config: what tells it from other boards at a glance.
    """

    protocol: str
    config: str
    places: tuple[Place, ...]


def leaderboard(task: str, tracker: Tracker, console: Console) -> list[Board]:
    """Print the boards of a task, that of the most encoders first.

    Args:
        task: of the report, such as `knn`, or a metric of it, such as `few-shot/5way1shot`.

    Raises:
        UserError: if there is no such task or metric, or no finished run of it.
    """
    stage, metric = stage_of(task), task.partition("/")[2]
    runs = finished_runs(stage, tracker)
    names = sorted({n for run in runs for n in metrics_of(stage, list(run.metrics))}, key=order)
    if not names:
        raise UserError(
            f"no run of '{stage}' has finished in {tracker.place}: mae-bench {stage} makes one"
        )
    chosen = f"{names[0].partition('/')[0]}/{metric}" if metric else names[0]
    if chosen not in names:
        raise UserError(f"no run of '{stage}' has '{chosen}'{suggest(chosen, names)}")
    found = boards(runs, chosen, tracker)
    for board in found:
        console.print(table(board, chosen))
    console.print("One table for each protocol: the same config and data but for encoder and seed.")
    return found


def finished_runs(stage: str, tracker: Tracker) -> list[StoredRun]:
    """The stage's finished runs, without those that only point to another."""
    return [run for run in tracker.find(stage=stage, status="FINISHED") if not run.reused_from]


def boards(runs: Sequence[StoredRun], name: str, tracker: Tracker) -> list[Board]:
    """The runs that have the metric by protocol.

    Seeds of one benchmark are joined; of a cell that it ran again, the last run counts.
    """
    groups: dict[str, dict[tuple[str, str], dict[int | None, StoredRun]]] = {}
    labels: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: run.started):
        if name not in run.metrics:
            continue
        key, label = protocol_of(run, tracker)
        labels[key] = label
        origin = run.parent or run.id, run.encoder
        groups.setdefault(key, {}).setdefault(origin, {})[run.seed] = run
    found = []
    for key, origins in groups.items():
        places = [place(list(seeds.values()), name, tracker) for seeds in origins.values()]
        sign = 1 if lower_is_better(name) else -1
        places.sort(key=lambda p: (not is_known(p.row.value), sign * p.row.value))
        found.append(Board(key, labels[key], tuple(places)))
    return sorted(found, key=lambda board: -len(board.places))


def protocol_of(run: StoredRun, tracker: Tracker) -> tuple[str, str]:
    """The protocol's hash, and the data by content; a run without a config is alone."""
    config, digests = stored_config(run, tracker), run.data
    content = protocol(config, digests) if config else {"run": run.id}
    text = json.dumps(content, sort_keys=True, default=str)
    data = ", ".join(f"{path} {value[:SHORT]}" for path, value in digests.items())
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT], data


def place(runs: Sequence[StoredRun], name: str, tracker: Tracker) -> Place:
    """The place of an encoder's runs, which differ in their seed."""
    first, several = runs[0], len(runs) > 1
    outcomes = [outcomes_of(run, tracker).get(name) if several else None for run in runs]
    row, _ = joined(first.encoder, name, runs, outcomes)
    return Place(row, first.recipe, first.date, first.parent, facts_of(first))


def table(board: Board, name: str) -> Table:
    """For a terminal."""
    name_and_unit = f"{title(name)}{unit(name)}{other_unit(name)}"
    shown = Table(title=f"{name_and_unit}, protocol {board.protocol}", caption=board.config)
    shown.add_column("", justify="right")
    shown.add_column("encoder", overflow="fold")
    shown.add_column("± 95 %", justify="right", no_wrap=True)
    for fact in ("parameters", "GFLOPs", "input"):
        shown.add_column(fact, justify="right")
    shown.add_column("licence")
    shown.add_column("of")
    shown.add_column("benchmark")
    for rank, one in enumerate(board.places, start=1):
        value, known = number(name, one.row.value, one.row.ci95, one.row.unit), one.facts
        facts = known.size, known.cost, known.pixels, known.licence_shown(of_file=False)
        texts = one.row.encoder, value, *facts, covers(one.row), one.origin
        shown.add_row(str(rank), *map(escape, texts))
    return shown
