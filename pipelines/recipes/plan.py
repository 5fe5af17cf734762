"""`mae-bench plan`: what a benchmark would run, reuse or resume, and what that takes here."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from downstream.scratch import recipe_for
from mae_core.engine.step_checkpoints import checkpoints, step_of
from mae_core.for_encoder import with_encoder
from mae_core.names import has_file
from pipelines.cells.cell import Cell, cell_folder, usable
from pipelines.cells.resources import Resources, default_devices
from pipelines.cells.reuse import whole_result
from pipelines.display import duration, size
from pipelines.identity import short_hash
from pipelines.recipes.checks import config_for
from pipelines.recipes.dry_run import Trial, time_first_steps
from pipelines.recipes.matrix import planned_cells
from pipelines.recipes.recipe import Recipe
from pipelines.stages import card_of, makers

KEPT = 3  # the last two checkpoints, and the one being written


@dataclass(frozen=True)
class Item:
    """One cell of the plan.

    Attributes:
        cell: what would run.
        status: 'reuse', 'resume at step n' or 'run'.
        share: of the work that is left, 0 to 1.
        trial: what its first steps showed; None if it is reused, or showed nothing.
    """

    cell: Cell
    status: str
    share: float
    trial: Trial | None

    @property
    def hours(self) -> float | None:
        """For what is left; None if unknown."""
        if self.share == 0:
            return 0.0
        return self.trial.hours * self.share if self.trial else None


def plan(
    recipe: Recipe, work_dir: Path | None, devices: int | None, console: Console
) -> list[Item]:
    """Time each stage's first steps, and show what all of a benchmark would take."""
    folder = (work_dir or Path("runs") / recipe.name).expanduser().absolute()
    devices = devices or default_devices(recipe.slots)
    resources = Resources(devices=devices)
    items = list(plan_cells(recipe, folder, resources, console))
    console.print(table(items, recipe, resources))
    for absence in recipe.absences:
        console.print(absence, markup=False, soft_wrap=True)
    for line in summary(items, recipe, folder):
        console.print(line)
    return items


def plan_cells(
    recipe: Recipe, folder: Path, resources: Resources, console: Console
) -> Iterator[Item]:
    """The cells in order; each stage is tried once for each of its configs, and from scratch apart.

    What stands in for an encoder is no classifier: who takes one is not tried before it is there.
    """
    trials: dict[tuple[str, str, bool, str], Trial | None] = {}
    for cell, known, finished in cells(recipe, folder, resources, console):
        status, done = ("reuse", 0) if finished else ("run", 0)
        if known and not finished:
            status, done = progress(cell, folder)
        if status == "reuse" or (card_of(cell.stage).takes == "classifier" and not known):
            yield Item(cell, status, float(status != "reuse"), None)
            continue
        row = cell.encoder if cell.stage in makers() else ""  # each has a config of its own
        scratch = not has_file(cell.source) and "scratch" in cell.config
        kind = cell.stage, row, scratch, architecture(cell)
        if kind not in trials:
            console.print(f"trying {cell.stage} ...")
            trials[kind] = time_first_steps(cell, folder, usable(cell, resources))
        trial = trials[kind]
        share = max(1 - done / trial.total, 0) if trial and trial.total else 1.0
        yield Item(cell, status, share, trial)


def cells(
    recipe: Recipe, folder: Path, machine: Resources, console: Console
) -> Iterator[tuple[Cell, bool, bool]]:
    """Each cell, whether its encoder is already known, and whether it has a whole result.

    If the encoder is not known, a random one stands in, in the recipe for that other one: without
    `scratch`. A result with a damaged file is told and counts as none, as in a run, so that no
    trial starts from a damaged encoder.
    """

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    checkpoint: dict[str, str | None] = {}
    for planned, upstream in planned_cells(recipe, machine):
        known = checkpoint.get(upstream) if upstream else planned.source
        cell = replace(planned, source=known) if known else standing_in(planned, recipe)
        result = whole_result(cell_folder(cell, folder), cell.inputs, say) if known else None
        checkpoint[cell.name] = result.checkpoint if result else None
        yield cell, bool(known), bool(result)


def standing_in(planned: Cell, recipe: Recipe) -> Cell:
    """The cell with random weights of its row's architecture, but not with the recipe for them."""
    (row,) = (row for row in recipe.rows if row.name == planned.encoder)
    return replace(planned, source="random", config=config_for(row, planned.config))


def architecture(cell: Cell) -> str:
    """What a trial's time depends on beside the stage: the encoder that it trains or looks with."""
    if card_of(cell.stage).takes != "encoder":
        return ""
    own = with_encoder(recipe_for(cell.config, cell.source), cell.source)
    return short_hash(own.encoder.to_dict())


def progress(cell: Cell, folder: Path) -> tuple[str, int]:
    """The status of a cell that has not finished, and the steps that it has behind it."""
    found = checkpoints(cell_folder(cell, folder))
    if not found:
        return "run", 0
    step = step_of(found[0])
    return f"resume at step {step}", step


def table(items: list[Item], recipe: Recipe, resources: Resources) -> Table:
    """One row a cell."""
    each = f"up to {resources.devices} device(s) each"
    shown = Table(title=f"{recipe.name}: {recipe.slots} stage(s) at a time, {each}")
    for name in ("stage", "encoder", "status"):
        shown.add_column(name)
    for name in ("amount", "time each", "time", "memory", "checkpoint"):
        shown.add_column(name, justify="right")
    for item in items:
        row = item.cell.encoder + (f" #{item.cell.repeat}" if item.cell.repeat else "")
        shown.add_row(item.cell.stage, row, item.status, *figures(item))
    return shown


def figures(item: Item) -> list[str]:
    """What the trial showed, as text."""
    trial = item.trial
    if trial is None:
        return ["", "", "" if item.share == 0 else "unknown", "", ""]
    return [
        f"{trial.total:,} {trial.unit}s",
        f"{1000 * trial.seconds:,.3g} ms",
        duration(trial.hours * item.share),
        size(trial.memory),
        size(trial.checkpoint) if trial.checkpoint else "",
    ]


def summary(items: list[Item], recipe: Recipe, folder: Path) -> Iterator[str]:
    """The total, and what this machine has for it."""
    hours = sum(item.hours or 0 for item in items) / recipe.slots
    yield (
        f"about {duration(hours)} in all on this machine; what follows a stage's first part, such "
        "as the evaluation after a training, comes on top"
    )
    unknown = [item.cell.name for item in items if item.hours is None]
    if unknown:
        yield escape(f"unknown, and not counted: {', '.join(unknown)}")
    trials = [item.trial for item in items if item.trial]
    memory = sum(sorted((t.memory for t in trials), reverse=True)[: recipe.slots])
    disk = sum(KEPT * t.checkpoint for t in trials)
    yield from compare("memory", memory, psutil.virtual_memory().available)
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    yield from compare("disk for checkpoints", disk, shutil.disk_usage(there).free)


def compare(what: str, needed: int, free: int) -> Iterator[str]:
    """What is needed and free, in red if it does not suffice."""
    line = f"{what}: {size(needed)} of {size(free)} free"
    yield f"[bold red]{line}: too little[/]" if needed > free else line
