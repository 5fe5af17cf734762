"""Which cells a recipe has, and where each of them gets its encoder from."""

from collections.abc import Iterator

from mmengine.config import Config

from pipelines.cells.cell import Cell, cell_name, on_machine
from pipelines.cells.resources import Resources
from pipelines.recipes.recipe import Recipe
from pipelines.recipes.rows import Row
from pipelines.stages import card_of, makes_classifier


def planned_cells(
    recipe: Recipe, machine: Resources | None = None
) -> Iterator[tuple[Cell, str | None]]:
    """All cells, each with the name of the cell before it whose checkpoint it takes, if one.

    The source of those is 'random' until that checkpoint is there.

    Args:
        recipe: whose cells.
        machine: what each of them may use; one device without it.
    """
    for cell, upstream in cells_of(recipe):
        yield on_machine(cell, machine or Resources()), upstream


def cells_of(recipe: Recipe) -> Iterator[tuple[Cell, str | None]]:
    """As :func:`planned_cells`, for no machine yet."""
    for row, config in recipe.makers:
        for repeat in range(recipe.runs_of(row.made_by)):
            yield making(row, config, repeat), None
    last = [stage for stage in recipe.tasks if card_of(stage).takes == "classifier"]
    for row in recipe.rows:
        for stage in [*(task for task in recipe.tasks if task not in last), *last]:
            if same_as_random(stage, row, recipe) or (stage, row.name) in recipe.left_out:
                continue
            source, makes = origin(stage, row)
            run_id = row.ref.run_id if row.ref else ""
            for repeat in range(recipe.runs_of(stage)):
                config = with_seed(recipe.columns[stage], repeat)
                cell = Cell(stage, row.name, source, config, repeat, run_id, row.spec)
                yield cell, upstream(makes, row.name, repeat, recipe)


def making(row: Row, config: Config, repeat: int) -> Cell:
    """The cell that makes a row's encoder, from random weights or from those that it goes on from.

    Its lineage is that of any stage that takes an encoder.
    """
    start = row.start
    run_id, spec = (start.run_id, start.name) if start else ("", "")
    own = with_seed(config, repeat)
    return Cell(row.made_by, row.name, row.begins_with, own, repeat, run_id, spec)


def same_as_random(stage: str, row: Row, recipe: Recipe) -> bool:
    """Whether the row's cell would repeat that of `random`, whose number stands for both."""
    scratch = row.made_by == "supervise" and card_of(stage).random_from_scratch
    return scratch and "random" in recipe.encoders


def with_seed(config: Config, repeat: int) -> Config:
    """The config of a stage's further run: the seed that many numbers on."""
    if not repeat:
        return config
    further = Config(config.to_dict())
    further.seed += repeat
    return further


def upstream(makes: str | None, encoder: str, repeat: int, recipe: Recipe) -> str | None:
    """The name of the cell whose checkpoint a run takes: they are dealt in turn to its repeats."""
    if makes is None:
        return None
    return cell_name(makes, encoder, repeat % recipe.runs_of(makes))


def origin(stage: str, row: Row) -> tuple[str, str | None]:
    """What a task of a row takes as its encoder, and the stage that makes it, if one does."""
    if card_of(stage).takes == "classifier":
        return "random", makes_classifier()
    if row.ref:
        return row.ref.path, None
    if row.made_by == "supervise" and card_of(stage).from_scratch:
        return row.name, None  # 'supervised', which begins with random weights there
    return "random", row.made_by
