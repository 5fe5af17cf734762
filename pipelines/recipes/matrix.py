"""Which cells a recipe has, and where each of them gets its encoder from."""

from collections.abc import Iterator, Sequence

from mmengine.config import Config

from pipelines.cells.cell import Cell, cell_name, on_machine
from pipelines.cells.resources import Resources
from pipelines.recipes.recipe import Recipe
from pipelines.stages import stages
from pipelines.tracking.encoders import resolve_encoder, run_of


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
    for stage, row in (("pretrain", "mae"), ("supervise", "supervised")):
        for repeat in range(recipe.runs_of(stage) if stage in recipe.configs else 0):
            yield Cell(stage, row, "random", with_seed(recipe.configs[stage], repeat), repeat), None
    last = [stage for stage in recipe.tasks if stage == "evaluate"]
    for encoder in recipe.encoders:
        for stage in [*(task for task in recipe.tasks if task not in last), *last]:
            if same_as_random(stage, encoder, recipe.encoders):
                continue
            source, makes = origin(stage, encoder)
            for repeat in range(recipe.runs_of(stage)):
                config = with_seed(recipe.configs[stage], repeat)
                cell = Cell(stage, encoder, source, config, repeat, run_of(encoder))
                yield cell, upstream(makes, encoder, repeat, recipe)


def same_as_random(stage: str, encoder: str, rows: Sequence[str]) -> bool:
    """Whether the row's cell would repeat that of `random`, whose number stands for both."""
    return encoder == "supervised" and stages()[stage].random_from_scratch and "random" in rows


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


def origin(stage: str, encoder: str) -> tuple[str, str | None]:
    """What a task of a row takes as its encoder, and the stage that makes it, if one does."""
    if stage == "evaluate":
        return "random", "finetune"
    if encoder == "mae":
        return "random", "pretrain"
    if encoder == "supervised" and not stages()[stage].from_scratch:
        return "random", "supervise"
    return (encoder if encoder == "supervised" else resolve_encoder(encoder)), None
