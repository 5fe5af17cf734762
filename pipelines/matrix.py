"""Which cells a recipe has, and where each of them gets its encoder from."""

from collections.abc import Iterator

from mmengine.config import Config

from pipelines.cell import Cell, on_machine
from pipelines.encoders import resolve_encoder, run_of
from pipelines.launch import Resources
from pipelines.recipe import Recipe
from pipelines.stages import FROM_SCRATCH


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
        if stage in recipe.configs:
            yield Cell(stage, row, "random", recipe.configs[stage]), None
    last = [stage for stage in recipe.tasks if stage == "evaluate"]
    for encoder in recipe.encoders:
        for stage in [*(task for task in recipe.tasks if task not in last), *last]:
            source, upstream = origin(stage, encoder)
            for repeat in range(recipe.repeats.get(stage, 1)):
                config = with_seed(recipe.configs[stage], repeat)
                yield Cell(stage, encoder, source, config, repeat, run_of(encoder)), upstream


def with_seed(config: Config, repeat: int) -> Config:
    """The config of a stage's further run: the seed that many numbers on."""
    if not repeat:
        return config
    further = Config(config.to_dict())
    further.seed += repeat
    return further


def origin(stage: str, encoder: str) -> tuple[str, str | None]:
    """What a task of a row takes as its encoder, or the name of the cell that makes it."""
    if stage == "evaluate":
        return "random", f"finetune[{encoder}]"
    if encoder == "mae":
        return "random", "pretrain[mae]"
    if encoder == "supervised" and stage not in FROM_SCRATCH:
        return "random", "supervise[supervised]"
    return (encoder if encoder == "supervised" else resolve_encoder(encoder)), None
